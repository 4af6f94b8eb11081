// Every payload and every advisory that has broken other proxies, against one worker process; and what
// that worker holds when all is over.
import assert from 'node:assert/strict'
import { globSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { waitFor } from '../../../test/harness/wait.ts'
import { sharedWorker, startProxyFor } from './support/target.ts'

// Each registers its tests when it is loaded; they run in this order.
for (const path of globSync('{advisories,payloads}/*.ts', { cwd: import.meta.dirname }).toSorted()) {
  await import(join(import.meta.dirname, path))
}

test('after all of it the worker lives, has reported no error of its own, and ends in peace', async () => {
  const worker = await sharedWorker()
  await startProxyFor([])
  await waitFor('every client connection gone', () => worker.openConnections() === 0)
  assert.doesNotMatch(worker.output(), /INTERNAL_ERROR/u)
  assert.equal(await worker.stop(), 0)
})
