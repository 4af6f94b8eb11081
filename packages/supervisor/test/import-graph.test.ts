// The rooms of the supervisor: folders import each other one way, types included. The linter holds the other walls.
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { test } from 'node:test'

const ROOT = join(import.meta.dirname, '..', 'src')
/** The entry point starts the command line and is imported by nothing. */
const ENTRY = 'main.ts'

const files = readdirSync(ROOT, { recursive: true, encoding: 'utf8' }).filter(
  (file) => file.endsWith('.ts') && file !== ENTRY,
)
const imports = new Map(files.map((file) => [file, importsOf(file)]))

function importsOf(file: string): string[] {
  const text = readFileSync(join(ROOT, file), 'utf8')
  return [...text.matchAll(/(?:from|import\()\s*'(\.[^']+)'/gu)].map(([, path = '']) =>
    normalize(join(dirname(file), path)),
  )
}

/** The first cycle that is found, if any. */
function findCycle(graph: ReadonlyMap<string, Iterable<string>>): string[] | undefined {
  const done = new Set<string>()
  const visit = (node: string, path: readonly string[]): string[] | undefined => {
    if (path.includes(node)) return [...path.slice(path.indexOf(node)), node]
    if (done.has(node)) return undefined
    for (const next of graph.get(node) ?? []) {
      const cycle = visit(next, [...path, node])
      if (cycle !== undefined) return cycle
    }
    done.add(node)
    return undefined
  }
  for (const node of graph.keys()) {
    const cycle = visit(node, [])
    if (cycle !== undefined) return cycle
  }
  return undefined
}

test('folders import each other one way only', () => {
  const folders = new Map<string, Set<string>>()
  for (const [file, targets] of imports) {
    const from = dirname(file)
    const known = folders.get(from) ?? new Set()
    for (const to of targets.map((target) => dirname(target))) if (to !== from) known.add(to)
    folders.set(from, known)
  }
  assert.equal(findCycle(folders), undefined)
})
