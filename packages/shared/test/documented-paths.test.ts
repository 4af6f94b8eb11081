// Every path of the sources that the documents name exists. A path is written from the repository's root, from
// packages/, or from the folder that the page is about; NAME stands for a file to be added, `*` for several.
import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'

const ROOT = join(import.meta.dirname, '..', '..', '..')
const BASES = [
  '.',
  'packages',
  'packages/shared/src',
  'packages/supervisor/src',
  'packages/supervisor/src/certificates',
  'packages/worker/src',
  'packages/worker/src/pipeline',
  'packages/worker/src/protocol/http2',
  'packages/worker/test',
]

/** A relative path in a code span: of a TypeScript file, of a folder (with its slash), or from packages/ on. */
const PATH = /`((?:[\w.*-]+\/)*(?:[\w.*-]+\.ts|[\w.*-]+\/)|packages\/[\w./*-]+)`/gu

function exists(path: string): boolean {
  const pattern = path.replace('NAME', '*')
  return BASES.some((base) => globSync(pattern, { cwd: join(ROOT, base) }).length > 0)
}

for (const page of globSync(['docs/*.md', '*.md'], { cwd: ROOT }).toSorted()) {
  test(`${page} names no file that is not there`, () => {
    const named = [...readFileSync(join(ROOT, page), 'utf8').matchAll(PATH)].map(([, path = '']) => path)
    assert.deepEqual(
      named.filter((path) => !exists(path)),
      [],
    )
  })
}
