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
import type { Holdings } from './support/process/worker-main.ts'
import type { WorkerProcess } from './support/process/worker-process.ts'

const WARM_UP_REQUESTS = 800
const FUZZ_REQUESTS = 800
const WARM_UP_SEED = 1
const FUZZ_SEED = 2
const MIB = 1024 * 1024
const MAX_GROWTH_BYTES = 30 * MIB
const PATIENCE_MS = 30_000

/** Before anything: what a worker holds that nobody has used. */
let unused: Holdings
/** Of the worker once it is warm. */
let baselineBytes: number

/** Without its pipes, which are active only while something is being written to the log. */
function handlesOf({ handles }: Holdings): string {
  return JSON.stringify(Object.entries(handles).filter(([kind]) => kind !== 'PipeWrap'))
}

/** Without sites, and once every client, upstream and timer is gone: what the worker holds then. */
async function settled(worker: WorkerProcess, maxRssBytes = Infinity): Promise<Holdings> {
  await worker.configure([], LIMITS)
  return await waitFor(
    'sockets, handles and memory to be as before',
    async () => {
      // What is collected gives its memory back a little later: it is looked at until it has.
      const now = await worker.weigh()
      const isIdle = now.sockets === unused.sockets && handlesOf(now) === handlesOf(unused)
      if (isIdle && now.rssBytes <= maxRssBytes) return now
      throw new Error(`${JSON.stringify(now)}, at most ${maxRssBytes}; unused ${JSON.stringify(unused)}`)
    },
    PATIENCE_MS,
  )
}

test('warm-up', { timeout: 120_000 }, async (t) => {
  const worker = await sharedWorker()
  unused = await worker.weigh()
  const { findings } = await runCampaign(t, worker, { seed: WARM_UP_SEED, wanted: WARM_UP_REQUESTS })
  assert.deepEqual(findings, [])
  const { rssBytes } = await settled(worker)
  baselineBytes = rssBytes
  t.diagnostic(`before: ${JSON.stringify({ ...unused, rssBytes })}`)
})

// Each registers its tests when it is loaded; they run in this order.
for (const path of globSync('{advisories,payloads}/*.ts', { cwd: import.meta.dirname }).toSorted()) {
  await import(join(import.meta.dirname, path))
}

test('a part of the fuzz', { timeout: 120_000 }, async (t) => {
  const { findings } = await runCampaign(t, await sharedWorker(), { seed: FUZZ_SEED, wanted: FUZZ_REQUESTS })
  assert.deepEqual(findings, [])
})

test(
  `after all of it: sockets and handles as before, at most ${MAX_GROWTH_BYTES / MIB} MB more, no error of its own`,
  { timeout: 60_000 },
  async (t) => {
    const worker = await sharedWorker()
    const after = await settled(worker, baselineBytes + MAX_GROWTH_BYTES)
    t.diagnostic(`after: ${JSON.stringify(after)}`)
    assert.equal(worker.openConnections(), 0)
    assert.doesNotMatch(worker.output(), /INTERNAL_ERROR/u)
    assert.equal(await worker.stop(), 0)
  },
)
