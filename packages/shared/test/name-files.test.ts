// The files that names are read from, as they change.
import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { readWhenChanged } from '../src/names/name-files.ts'

test('a file is read again when it has changed; unreadable it keeps its last text, missing it is empty', (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'reverse-proxy-test-'))
  t.after(() => rmSync(directory, { recursive: true }))
  const path = join(directory, 'hosts')
  const read = readWhenChanged(path, (text) => text)
  assert.equal(read(), '')
  writeFileSync(path, 'first')
  assert.equal(read(), 'first')
  writeFileSync(path, 'second')
  assert.equal(read(), 'second')
  // Not even root reads a directory as a file.
  rmSync(path)
  mkdirSync(path)
  assert.equal(read(), 'second')
  rmSync(path, { recursive: true })
  assert.equal(read(), '')
})
