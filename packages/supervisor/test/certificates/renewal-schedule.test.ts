// When the next attempt is due: properties over every lifetime, failure and Retry-After.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import {
  jitterOf,
  lastCallAtMs,
  marginAtMs,
  mayLeaveOut,
  renewAtMs,
  retryAtMs,
} from '../../src/certificates/renewal/schedule.ts'

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS
const DAY_MS = 24 * HOUR_MS

/** The CA asked for nothing, and rejected nothing. */
const UNANSWERED = { retryAfterMs: undefined, isRejected: false, isIssued: false }

const jitter = fc.double({ min: 0, max: 1, noNaN: true })
const validity = fc
  .record({
    notBeforeMs: fc.integer({ min: 0, max: 4e12 }),
    lifetimeMs: fc.oneof(
      fc.integer({ min: 10_000, max: 400 * DAY_MS }),
      fc.constantFrom(HOUR_MS, 160 * HOUR_MS),
    ),
  })
  .map(({ notBeforeMs, lifetimeMs }) => ({ notBeforeMs, notAfterMs: notBeforeMs + lifetimeMs }))

test('renewal: with a third of the lifetime left, half below ten days, never later, at most 2 % earlier', () => {
  fc.assert(
    fc.property(validity, jitter, ({ notBeforeMs, notAfterMs }, drawn) => {
      const lifetimeMs = notAfterMs - notBeforeMs
      const atMs = renewAtMs({ notBeforeMs, notAfterMs }, notBeforeMs, drawn)
      const left = (notAfterMs - atMs) / lifetimeMs
      const wanted = lifetimeMs < 10 * DAY_MS ? 1 / 2 : 1 / 3
      assert.ok(left >= wanted - 1e-6 && left <= wanted + 0.02 + 1e-6, String(left))
    }),
  )
})

test('renewal: a certificate that comes late in its own lifetime still rests before the next', () => {
  fc.assert(
    fc.property(validity, jitter, fc.double({ min: 0, max: 0.999, noNaN: true }), (dates, drawn, used) => {
      const obtainedMs = dates.notBeforeMs + (dates.notAfterMs - dates.notBeforeMs) * used
      const atMs = renewAtMs(dates, obtainedMs, drawn)
      assert.ok(atMs - obtainedMs >= (dates.notAfterMs - obtainedMs) / 3 - 1)
      assert.ok(atMs < dates.notAfterMs)
    }),
  )
})

test('retries with time to spare: about 1, 10 and 100 minutes, then daily', () => {
  const dates = { notBeforeMs: 0, notAfterMs: 90 * DAY_MS }
  const delays = [1, 2, 3, 4, 5, 50].map(
    (failures) =>
      retryAtMs({ ...UNANSWERED, failures, failedAtMs: DAY_MS, validity: dates, jitter: 0 }) - DAY_MS,
  )
  assert.deepEqual(delays, [MINUTE_MS, 10 * MINUTE_MS, 100 * MINUTE_MS, DAY_MS, DAY_MS, DAY_MS])
})

const failure = fc.record({
  failures: fc.integer({ min: 1, max: 1000 }),
  retryAfterMs: fc.option(fc.integer({ min: 0, max: 26 * DAY_MS }), { nil: undefined }),
  isRejected: fc.constant(false),
  isIssued: fc.constant(false),
  jitter,
})

test('retries: never past the margin before expiry, and soon after that one before expiry itself', () => {
  fc.assert(
    fc.property(validity, failure, fc.double({ min: 0, max: 0.99, noNaN: true }), (dates, failed, used) => {
      const lifetimeMs = dates.notAfterMs - dates.notBeforeMs
      const failedAtMs = dates.notBeforeMs + lifetimeMs * used
      const atMs = retryAtMs({ ...failed, failedAtMs, validity: dates })
      assert.ok(atMs > failedAtMs)
      const closestMs = lifetimeMs / 60
      const limitMs = failedAtMs < lastCallAtMs(dates) ? lastCallAtMs(dates) : dates.notAfterMs
      assert.ok(atMs <= Math.max(limitMs, failedAtMs + closestMs) + 1)
    }),
  )
})

test('Retry-After is obeyed, up to a day, wherever expiry leaves the time', () => {
  fc.assert(
    fc.property(failure, fc.integer({ min: 0, max: 26 * DAY_MS }), (failed, retryAfterMs) => {
      const dates = { notBeforeMs: 0, notAfterMs: 400 * DAY_MS }
      for (const certificate of [dates, undefined]) {
        const atMs = retryAtMs({ ...failed, retryAfterMs, failedAtMs: DAY_MS, validity: certificate })
        assert.ok(atMs >= DAY_MS + Math.min(retryAfterMs, DAY_MS))
        assert.ok(atMs <= DAY_MS + 1.1 * DAY_MS)
      }
    }),
  )
})

test('an expired certificate in service is tried for every hour at the latest, unless the CA asks for more', () => {
  const dates = { notBeforeMs: 0, notAfterMs: DAY_MS }
  const retry = (retryAfterMs: number | undefined): number =>
    retryAtMs({
      failures: 9,
      failedAtMs: 2 * DAY_MS,
      isRejected: false,
      isIssued: false,
      retryAfterMs,
      validity: dates,
      jitter: 1,
    }) -
    2 * DAY_MS
  assert.equal(retry(undefined), HOUR_MS)
  assert.equal(retry(3 * HOUR_MS), 3 * HOUR_MS)
})

test('a CA that is down for a sixth of the lifetime never brings a certificate below the margin', () => {
  fc.assert(
    fc.property(
      fc.constantFrom(HOUR_MS, 160 * HOUR_MS, 45 * DAY_MS, 90 * DAY_MS),
      jitter,
      fc.double({ min: 0, max: 1, noNaN: true }),
      (lifetimeMs, drawn, start) => {
        const dates = { notBeforeMs: 0, notAfterMs: lifetimeMs }
        const dueMs = renewAtMs(dates, 0, drawn)
        const outage = {
          fromMs: dueMs - (start * lifetimeMs) / 6,
          toMs: dueMs + ((1 - start) * lifetimeMs) / 6,
        }
        let nowMs = dueMs
        for (let failures = 1; nowMs >= outage.fromMs && nowMs < outage.toMs; failures++) {
          nowMs = retryAtMs({
            failures,
            failedAtMs: nowMs,
            ...UNANSWERED,
            validity: dates,
            jitter: drawn,
          })
        }
        assert.ok(nowMs < marginAtMs(dates), `${(nowMs - marginAtMs(dates)) / lifetimeMs} past the margin`)
      },
    ),
  )
})

test('names are left out at most once a day, and only for a gain', () => {
  const gain = {
    nowMs: 10 * DAY_MS,
    lifetimeMs: undefined,
    lastTimeMs: undefined,
    addsNames: true,
    isDue: false,
  }
  assert.equal(mayLeaveOut(gain), true)
  assert.equal(mayLeaveOut({ ...gain, lastTimeMs: 9.5 * DAY_MS }), false)
  assert.equal(mayLeaveOut({ ...gain, lastTimeMs: 9 * DAY_MS }), true)
  assert.equal(mayLeaveOut({ ...gain, lastTimeMs: 9.5 * DAY_MS, lifetimeMs: DAY_MS }), true)
  assert.equal(mayLeaveOut({ ...gain, addsNames: false }), false)
  assert.equal(mayLeaveOut({ ...gain, addsNames: false, isDue: true }), true)
})

test('a serial always gives the same jitter, from 0 to 1', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 1, maxLength: 20 }), (bytes) => {
      const serial = Buffer.from(bytes).toString('hex').toUpperCase()
      const drawn = jitterOf(serial)
      assert.ok(drawn >= 0 && drawn <= 1)
      assert.equal(jitterOf(serial), drawn)
    }),
  )
})
