// A day's worth in small: half an hour of mixed load with a roll every minute. No request fails, and neither memory nor
// descriptors grow from one generation of workers to the next.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { startBusySite } from '../harness/busy-site.ts'
import type { ClientCounts } from '../harness/clients/clients.ts'
import { memoryOf, openFilesOf } from '../harness/processes.ts'
import { IS_FULL } from '../harness/size.ts'
import { waitFor } from '../harness/wait.ts'

const MINUTES = 30
const MINUTE_MS = 60_000
const MIB = 1024 * 1024
const COUNTS: ClientCounts = {
  freshPerSecond: 20,
  keptConnections: 10,
  http2Connections: 4,
  http2Streams: 5,
  uploads: 3,
  webSockets: 3,
}
const DRAIN_SECS = 10
/** Beyond the early median: what the collector leaves for later. */
const MOST_GROWTH = { rssBytes: 12 * MIB, openFiles: 8 }
const TEST = { timeout: (MINUTES + 5) * MINUTE_MS, skip: IS_FULL ? false : 'it takes half an hour' }

/** One process at the end of a minute; a worker is as old each time. */
interface Sample {
  readonly rssBytes: number
  readonly openFiles: number
}

test(
  'half an hour of mixed load with a roll every minute: nothing fails and nothing grows',
  TEST,
  async (t) => {
    const { proxy, tally, moreOfEverything, endClients } = await startBusySite(t, COUNTS, {
      shutdown_timeout_secs: DRAIN_SECS,
    })
    const supervisor: Sample[] = []
    const workers: Sample[] = []
    for (let minute = 1; minute <= MINUTES; minute++) {
      await sleep(MINUTE_MS)
      supervisor.push(sampleOf(proxy.pid))
      workers.push(...proxy.workerPids().map(sampleOf))
      proxy.signal('SIGHUP')
      await waitFor(
        `roll ${minute}`,
        () => proxy.stdout.lines.filter((line) => / CONFIG_RELOAD .*status=/u.test(line)).length === minute,
        MINUTE_MS,
      )
      await moreOfEverything()
    }
    await endClients()
    t.diagnostic(String(tally))
    assert.deepEqual(tally.failures, [])
    for (const [name, samples] of Object.entries({ supervisor, workers })) {
      for (const field of ['rssBytes', 'openFiles'] as const) {
        const [early, late] = thirdsOf(samples.map((sample) => sample[field]))
        t.diagnostic(`${name}, ${field}: ${early} early, ${late} late`)
        assert.ok(late <= early + MOST_GROWTH[field], `${field} of ${name} went from ${early} to ${late}`)
      }
    }
  },
)

function sampleOf(pid: number): Sample {
  return { rssBytes: memoryOf(pid).rssBytes, openFiles: openFilesOf(pid) }
}

/** The medians of the first and of the last third. */
function thirdsOf(values: readonly number[]): readonly [number, number] {
  const length = Math.ceil(values.length / 3)
  return [median(values.slice(0, length)), median(values.slice(-length))]
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN
}
