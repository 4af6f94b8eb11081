// Tests run on the runtime that users get. bootstrap-node.test.ts runs this
// file from another Node.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'

test('tests run on the Node that the workspace pins', () => {
  const workspace = readFileSync(join(import.meta.dirname, '../../../pnpm-workspace.yaml'), 'utf8')
  const [, pinned] = /^nodeVersion: (.+)$/m.exec(workspace) ?? []
  assert.equal(process.versions.node, pinned)
})
