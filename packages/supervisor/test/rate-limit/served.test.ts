// The other side of the rate limit: what a client is entitled to it gets, and somebody always decides. In
// simulated time, with the real authority and the real workers' side of it.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { RateLimit } from '@reverse-proxy/shared/config/config'
import { GENERAL_SCOPE } from '@reverse-proxy/shared/rate-limit/rate-limits'
import * as fc from 'fast-check'
import { worstExcess } from '../support/envelope.ts'
import { World } from '../support/rate-limit-world.ts'

const TIMEOUT = { timeout: 60_000 }
const WORKERS = 4
const CONNECTIONS = 60
const CLIENT = '203.0.113.1'

const anySeed = fc.integer({ min: 0, max: 0x7fffffff })
const delayMs = fc.constantFrom(0.1, 0.5, 1)
const anyLimit = fc.record({
  requestsPerSecond: fc.integer({ min: 5, max: 1_000 }),
  burst: fc.integer({ min: 5, max: 500 }),
})

function worldOf(general: RateLimit, seed: number, oneWayMs: number): World {
  return new World({ seed, workers: WORKERS, delayMs: oneWayMs, limits: { general, sites: new Map() } })
}

interface Load {
  readonly untilMs: number
  readonly thinkMs: number
  readonly onVerdict?: (askedAtMs: number) => void
}

/** Half of the connections are on one worker, and every tenth is slow: nothing is spread evenly. */
function startClient(proxy: World, { untilMs, thinkMs, onVerdict = () => {} }: Load): void {
  const { random } = proxy
  for (let connection = 0; connection < CONNECTIONS; connection++) {
    const worker = proxy.workers[connection < CONNECTIONS / 2 ? 0 : connection % WORKERS]
    const pauseMs = connection % 10 === 0 ? 200 : thinkMs
    const ask = (): void => {
      if (worker === undefined || proxy.nowMs >= untilMs) return
      const askedAtMs = proxy.nowMs
      proxy.request(worker, GENERAL_SCOPE, CLIENT, () => {
        onVerdict(askedAtMs)
        proxy.at(proxy.nowMs + pauseMs * (0.5 + random()), ask)
      })
    }
    proxy.at(random() * 5, ask)
  }
}

test(
  'a client on 60 connections over 4 workers is admitted at least 90 % of burst + rate * t',
  TIMEOUT,
  () => {
    fc.assert(
      fc.property(anySeed, delayMs, anyLimit, (seed, oneWayMs, limit) => {
        const proxy = worldOf(limit, seed, oneWayMs)
        const untilMs = 3_000
        startClient(proxy, { untilMs, thinkMs: 15 })
        proxy.run(untilMs)
        const allowed = limit.burst + (limit.requestsPerSecond * untilMs) / 1000
        const admitted = proxy.admissions.length
        assert.ok(admitted <= allowed, `${admitted} of ${allowed}`)
        assert.ok(admitted >= 0.9 * Math.min(allowed, proxy.requests), `only ${admitted} of ${allowed}`)
      }),
      { numRuns: 30 },
    )
  },
)

test('the same with limits changed half way', TIMEOUT, () => {
  fc.assert(
    fc.property(anySeed, delayMs, anyLimit, anyLimit, (seed, oneWayMs, before, after) => {
      const proxy = worldOf(before, seed, oneWayMs)
      const halfMs = 2_000
      startClient(proxy, { untilMs: 2 * halfMs, thinkMs: 10 })
      proxy.run(halfMs)
      const requestsBefore = proxy.requests
      const admittedBefore = proxy.admissions.length
      const allowedBefore = before.burst + (before.requestsPerSecond * halfMs) / 1000
      proxy.configure({ general: after, sites: new Map() })
      proxy.run(2 * halfMs)
      const admittedAfter = proxy.admissions.length - admittedBefore
      // What was left of the first burst stays, as far as the second allows.
      const left = Math.min(allowedBefore - admittedBefore, after.burst)
      const allowedAfter = left + (after.requestsPerSecond * halfMs) / 1000
      const requestsAfter = proxy.requests - requestsBefore
      assert.ok(admittedBefore <= allowedBefore, `${admittedBefore} of ${allowedBefore}`)
      assert.ok(admittedBefore >= 0.9 * Math.min(allowedBefore, requestsBefore))
      assert.ok(admittedAfter <= allowedAfter + 1, `then ${admittedAfter} of ${allowedAfter}`)
      // A client that never rests has an empty bucket by then: what is missing from the first half was lost
      // to a full one, and is not owed.
      const entitled = Math.min((after.requestsPerSecond * halfMs) / 1000, requestsAfter)
      assert.ok(admittedAfter >= 0.9 * entitled, `then only ${admittedAfter} of ${entitled}`)
    }),
    { numRuns: 30 },
  )
})

test('a client that stays below its rate is never refused', TIMEOUT, () => {
  fc.assert(
    fc.property(
      anySeed,
      delayMs,
      fc.integer({ min: 100, max: 1_000 }),
      (seed, oneWayMs, requestsPerSecond) => {
        const proxy = worldOf({ requestsPerSecond, burst: requestsPerSecond }, seed, oneWayMs)
        const untilMs = 5_000
        // 54 connections that think for so long, and 6 slow ones: four fifths of the rate.
        const thinkMs = 54_000 / (0.8 * requestsPerSecond - 30)
        startClient(proxy, { untilMs, thinkMs })
        proxy.run(untilMs + 1_000)
        assert.equal(proxy.admissions.length, proxy.requests)
        if (requestsPerSecond > 500) {
          const perRequest = proxy.messages / proxy.requests
          assert.ok(perRequest < 0.1, `${perRequest} messages a request`)
        }
      },
    ),
    { numRuns: 20 },
  )
})

test('a client that is refused costs next to no messages', TIMEOUT, () => {
  const proxy = worldOf({ requestsPerSecond: 0.5, burst: 1 }, 1, 0.2)
  startClient(proxy, { untilMs: 6_000, thinkMs: 5 })
  proxy.run(6_000)
  assert.ok(proxy.requests > 50_000, `${proxy.requests} requests`)
  assert.ok(proxy.messages < 100, `${proxy.messages} messages`)
})

test(
  'when the authority falls silent every request is decided within 250 ms, and afterwards exactly',
  TIMEOUT,
  () => {
    fc.assert(
      fc.property(anySeed, anyLimit, fc.integer({ min: 300, max: 2_000 }), (seed, limit, silentMs) => {
        const proxy = worldOf(limit, seed, 0.5)
        const untilMs = 5_000
        const silentUntilMs = 1_000 + silentMs
        let longestMs = 0
        const onVerdict = (askedAtMs: number): void => {
          longestMs = Math.max(longestMs, proxy.nowMs - askedAtMs)
        }
        startClient(proxy, { untilMs, thinkMs: 20, onVerdict })
        proxy.at(1_000, () => void (proxy.authorityStalledUntilMs = silentUntilMs))
        proxy.run(untilMs + 1_000)
        assert.equal(proxy.verdicts, proxy.requests)
        assert.ok(longestMs <= 251, `${longestMs} ms`)
        const { burst, requestsPerSecond } = limit
        const allowed = 3 * burst + (requestsPerSecond * untilMs) / 1000
        assert.ok(proxy.admissions.length <= allowed, `${proxy.admissions.length} of ${allowed}`)
        const afterwards = proxy.admissions.map(({ atMs }) => atMs).filter((atMs) => atMs > silentUntilMs + 5)
        assert.equal(worstExcess(afterwards, [{ fromMs: 0, limit }]), 0)
        const entitled = (requestsPerSecond * (untilMs - silentUntilMs - 100)) / 1000
        assert.ok(afterwards.length >= 0.9 * entitled - 5, `only ${afterwards.length} of ${entitled}`)
      }),
      { numRuns: 30 },
    )
  },
)
