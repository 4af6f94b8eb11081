// Thousands of requests, odd and ordinary, through a worker process to an upstream that tolerates
// nothing: never two where one was meant, never one that was changed, never a crash or a lost socket.
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { IS_FULL } from '../../../test/harness/size.ts'
import { waitFor } from '../../../test/harness/wait.ts'
import { runCampaign, type Campaign } from './fuzz/campaign.ts'
import { LIMITS } from './support/site-server.ts'
import { startWorkerProcess } from './support/process/worker-process.ts'

const REQUESTS = IS_FULL ? 50_000 : 3_000
const SEED = 20_260_102
/** Within so many a fault has to be found. */
const FAULT_REQUESTS = 5_000
/** At least so much must get through: what is refused at the door tests the door alone. */
const REACHED_SHARE = 0.4

function isSmuggled(finding: string): boolean {
  return finding.startsWith('a request that nobody made')
}

function summary({ requests, reached, classes }: Campaign): string {
  const counts = [...classes]
    .toSorted(([a], [b]) => a.localeCompare(b))
    .map(([name, count]) => `${count} ${name}`)
  return `${requests} requests, ${reached} reached the upstream; ${counts.join('; ')}`
}

test(
  `${REQUESTS} requests: each arrives once and as it was meant, or not at all`,
  { timeout: 600_000 },
  async (t) => {
    const worker = await startWorkerProcess()
    const before = await worker.weigh()
    const campaign = await runCampaign(t, worker, { seed: SEED, wanted: REQUESTS })
    t.diagnostic(summary(campaign))
    assert.deepEqual(campaign.findings, [])
    const untried = [...campaign.classes].filter(([, count]) => count === 0).map(([name]) => name)
    assert.deepEqual(untried, [])
    assert.ok(campaign.reached >= REACHED_SHARE * campaign.requests)
    await worker.configure([], LIMITS)
    await waitFor('every socket to be gone', async () => (await worker.weigh()).sockets === before.sockets)
    assert.doesNotMatch(worker.output(), /INTERNAL_ERROR/u)
    assert.equal(await worker.stop(), 0)
  },
)

test(
  `planted: a transport that does not frame anew has smuggled a request within ${FAULT_REQUESTS} requests`,
  { timeout: 60_000 },
  async (t) => {
    const worker = await startWorkerProcess([join(import.meta.dirname, 'fuzz/plant-fault.ts')])
    const { requests, findings } = await runCampaign(t, worker, {
      seed: SEED,
      wanted: FAULT_REQUESTS,
      isEnough: (found) => found.some(isSmuggled),
    })
    t.diagnostic(`found after ${requests} requests: ${findings.find(isSmuggled)}`)
    assert.ok(findings.some(isSmuggled) && requests <= FAULT_REQUESTS)
    await worker.stop()
  },
)
