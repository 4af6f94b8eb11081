// Every payload and every advisory that has broken other proxies, and a part of the fuzz, against one
// worker process; and what that worker holds when all is over.
import assert from 'node:assert/strict'
import { globSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { waitFor } from '../../../test/harness/wait.ts'
import { runCampaign } from './fuzz/campaign.ts'
import { LIMITS } from './support/site-server.ts'
import { sharedWorker } from './support/target.ts'
import type { Holdings } from './support/worker-main.ts'
import type { WorkerProcess } from './support/worker-process.ts'

const WARM_UP_REQUESTS = 800
const FUZZ_REQUESTS = 800
const WARM_UP_SEED = 1
const FUZZ_SEED = 2
const MAX_GROWTH_BYTES = 30 * 1024 * 1024

let baseline: Holdings

/** What the worker holds once nobody is connected and no site is left. */
async function settled(worker: WorkerProcess): Promise<Holdings> {
  await worker.configure([], LIMITS)
  await waitFor('every client connection gone', () => worker.openConnections() === 0)
  return await worker.weigh()
}

test('warm-up', { timeout: 60_000 }, async (t) => {
  const worker = await sharedWorker()
  const { findings } = await runCampaign(t, worker, { seed: WARM_UP_SEED, wanted: WARM_UP_REQUESTS })
  assert.deepEqual(findings, [])
  baseline = await settled(worker)
})

// Each registers its tests when it is loaded; they run in this order.
for (const path of globSync('{advisories,payloads}/*.ts', { cwd: import.meta.dirname }).toSorted()) {
  await import(join(import.meta.dirname, path))
}

test('a part of the fuzz', { timeout: 60_000 }, async (t) => {
  const { findings } = await runCampaign(t, await sharedWorker(), { seed: FUZZ_SEED, wanted: FUZZ_REQUESTS })
  assert.deepEqual(findings, [])
})

test(
  'after all of it: sockets and handles as before, at most 30 MB more, no error of its own',
  { timeout: 60_000 },
  async (t) => {
    const worker = await sharedWorker()
    const isAsBefore = ({ sockets, handles }: Holdings): boolean =>
      sockets === baseline.sockets && JSON.stringify(handles) === JSON.stringify(baseline.handles)
    let now = await settled(worker)
    t.diagnostic(`before: ${JSON.stringify(baseline)}`)
    // Timers of the last connections may still be running.
    await waitFor('sockets and handles to be as before', async () => isAsBefore((now = await worker.weigh())))
    t.diagnostic(`after: ${JSON.stringify(now)}`)
    assert.ok(now.rssBytes - baseline.rssBytes <= MAX_GROWTH_BYTES)
    assert.doesNotMatch(worker.output(), /INTERNAL_ERROR/u)
    assert.equal(await worker.stop(), 0)
  },
)
