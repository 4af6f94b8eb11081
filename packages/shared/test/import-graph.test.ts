// The rooms of each package: no file and no folder imports itself through others, types included, and a folder has few
// enough files to be read as a list. The linter holds the other walls.
import assert from 'node:assert/strict'
import { globSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { test } from 'node:test'

const PACKAGES = join(import.meta.dirname, '..', '..')
/** The entry point starts the command line and is imported by nothing. */
const ENTRY = 'main.ts'

/** Of each file of a package the files that it imports, both from the sources' folder on. */
function importsOf(packageName: string): ReadonlyMap<string, readonly string[]> {
  const root = join(PACKAGES, packageName, 'src')
  const files = readdirSync(root, { recursive: true, encoding: 'utf8' })
  return new Map(
    files
      .filter((file) => file.endsWith('.ts') && file !== ENTRY)
      .map((file) => {
        const text = readFileSync(join(root, file), 'utf8')
        const targets = text.matchAll(/(?:from|import\()\s*'(\.[^']+)'/gu)
        return [file, [...targets].map(([, path = '']) => normalize(join(dirname(file), path)))]
      }),
  )
}

function foldersOf(
  imports: ReadonlyMap<string, readonly string[]>,
): ReadonlyMap<string, ReadonlySet<string>> {
  const folders = new Map<string, Set<string>>()
  for (const [file, targets] of imports) {
    const from = dirname(file)
    const known = folders.get(from) ?? new Set()
    for (const to of targets.map((target) => dirname(target))) if (to !== from) known.add(to)
    folders.set(from, known)
  }
  return folders
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

for (const packageName of ['shared', 'supervisor', 'worker']) {
  test(`${packageName}: no file imports itself through others`, () => {
    assert.equal(findCycle(importsOf(packageName)), undefined)
  })

  test(`${packageName}: folders import each other one way only`, () => {
    assert.equal(findCycle(foldersOf(importsOf(packageName))), undefined)
  })
}

test('no folder of sources or of tests has more than 20 files', () => {
  const root = join(PACKAGES, '..')
  const files = globSync(['packages/*/{src,test}/**/*.ts', 'test/**/*.ts'], {
    cwd: root,
    exclude: (path) => path.includes('node_modules'),
  })
  const counts = new Map<string, number>()
  for (const folder of files.map((file) => dirname(file))) counts.set(folder, (counts.get(folder) ?? 0) + 1)
  const crowded = [...counts].filter(([, count]) => count > 20)
  assert.deepEqual(crowded, [])
})
