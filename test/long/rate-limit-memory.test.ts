// Memory of the rate limits at a million clients; a twentieth of it in the everyday run.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import type { Log } from '@reverse-proxy/shared/log-fields'
import { IS_FULL } from '../harness/size.ts'
import { LocalRateLimitAuthority } from '../../packages/supervisor/src/rate-limit/authority.ts'
import { RateLimiter } from '../../packages/worker/src/ratelimit/limiter.ts'

const CLIENTS = IS_FULL ? 1_000_000 : 50_000
const BATCH = 100
/** Slow enough that no bucket is full again before the end. */
const limits = { general: { requestsPerSecond: 0.0001, burst: 5 }, sites: new Map() }

const nothing = (): void => {}
const log: Log = { debug: nothing, info: nothing, warn: nothing, error: nothing }

setFlagsFromString('--expose-gc')
const collectGarbage: () => void = runInNewContext('gc')

/** What is in use, garbage left out. */
function usedBytes(): number {
  collectGarbage()
  collectGarbage()
  const { heapUsed, arrayBuffers } = process.memoryUsage()
  return heapUsed + arrayBuffers
}

/** Of this process: what others do on the machine at that time does not count. */
function cpuMs(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1000
}

/** Half of them IPv4. */
function clientOf(index: number): string {
  const high = index >>> 16
  const low = index & 0xffff
  return index % 2 === 0
    ? `10.${high}.${low >>> 8}.${low & 0xff}`
    : `2001:db8:${high.toString(16)}:${low.toString(16)}::/64`
}

test(
  'the authority remembers each client in at most 42 bytes, and answers no batch late',
  { timeout: 300_000 },
  (t) => {
    const before = usedBytes()
    let nowMs = 0
    const options = { limits, log, nowMs: () => nowMs, workers: () => 4, seed: 0x5eed, maxBuckets: CLIENTS }
    const authority = new LocalRateLimitAuthority(options)
    const durationsMs: number[] = []
    for (let first = 0; first < CLIENTS; first += BATCH) {
      const keys = Array.from({ length: BATCH }, (_, index) => clientOf(first + index))
      const startedMs = cpuMs()
      const empty = { type: 'lease-request', seq: first, charges: [] } as const
      authority.request(
        1,
        { ...empty, reports: [], asks: keys.map((key) => ({ key, needed: 1, ahead: 0 })) },
        nothing,
      )
      const reports = keys.map((key) => ({ key, spent: 1, returned: 0 }))
      authority.request(1, { ...empty, reports, asks: [] }, nothing)
      durationsMs.push(cpuMs() - startedMs)
      nowMs += 1
    }
    assert.equal(authority.size, CLIENTS)
    const bytesEach = (usedBytes() - before) / CLIENTS
    const sorted = durationsMs.toSorted((a, b) => a - b)
    const [median = 0, worst = 0] = [sorted[sorted.length >> 1], sorted.at(-1)]
    t.diagnostic(`${CLIENTS} clients: ${bytesEach.toFixed(1)} bytes each`)
    t.diagnostic(`${BATCH} new clients: ${median.toFixed(2)} ms, at worst ${worst.toFixed(1)} ms`)
    // The index has a power of two of slots: up to 16 bytes a client, 8.4 at a million.
    assert.ok(bytesEach < (CLIENTS === 1_000_000 ? 42 : 56), `${bytesEach} bytes each`)
    // A table that grows by copying would take some 100 ms here.
    assert.ok(worst < 80, `${worst} ms for ${BATCH} clients`)
  },
)

test('a worker remembers a bounded number of them', { timeout: 300_000 }, (t) => {
  const before = usedBytes()
  let nowMs = 0
  const timers = { nowMs: () => nowMs, soon: (run: () => void) => void due.push(run), after: () => nothing }
  let due: (() => void)[] = []
  const limiter: RateLimiter = new RateLimiter({
    limits,
    workers: 4,
    timers,
    onAuthorityTimeout: nothing,
    send: ({ seq, asks }) => {
      const refused = { tokens: 0, waitMs: 3_600_000, recheckMs: 3_600_000 }
      const granted = { tokens: 2, waitMs: 0, recheckMs: 0 }
      // Every second client is refused, the others keep a token.
      const grants = asks.map(({ key }) => ({ key, ...(key.includes(':') ? refused : granted) }))
      limiter.onGrant({ type: 'lease-grant', seq, workers: 4, grants })
    },
  })
  for (let index = 0; index < CLIENTS; index++) {
    const client = clientOf(index)
    if (limiter.admit('', client) === undefined) limiter.wait('', client, { onRateDecision: nothing })
    if (index % BATCH !== 0) continue
    nowMs += 0.001
    const now = due
    due = []
    for (const run of now) run()
  }
  const bytes = usedBytes() - before
  t.diagnostic(`${CLIENTS} clients: ${(bytes / 1e6).toFixed(1)} MB`)
  assert.ok(bytes < 48e6, `${bytes} bytes`)
  limiter.close()
})
