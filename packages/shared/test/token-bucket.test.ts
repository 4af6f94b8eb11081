import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import type { BucketState } from '../src/rate-limit/token-bucket.ts'
import {
  charge,
  fullBucket,
  isFull,
  lease,
  msUntilToken,
  refill,
  settle,
  take,
} from '../src/rate-limit/token-bucket.ts'

const limit = { requestsPerSecond: 10, burst: 5 }

const anyLimit = fc.record({
  requestsPerSecond: fc.double({ min: 0.01, max: 10_000, noNaN: true }),
  burst: fc.integer({ min: 1, max: 1_000 }),
})

const step = fc.oneof(
  fc.record({ type: fc.constant('wait' as const), ms: fc.double({ min: 0, max: 3_000, noNaN: true }) }),
  fc.record({
    type: fc.constantFrom('take', 'lease', 'spend', 'return', 'charge'),
    count: fc.integer({ min: 1, max: 40 }),
  }),
)

test('what can be spent is never more than burst, and what is spent never more than burst + rate * t', () => {
  fc.assert(
    fc.property(anyLimit, fc.array(step, { maxLength: 60 }), (anyLimitOfIt, steps) => {
      let nowMs = 1_000
      let spent = 0
      let bucket: BucketState = fullBucket(anyLimitOfIt, nowMs)
      for (const each of steps) {
        if (each.type === 'wait') {
          nowMs += each.ms
          bucket = refill(bucket, anyLimitOfIt, nowMs)
          continue
        }
        const { count } = each
        if (each.type === 'take') {
          const taking = take(bucket, anyLimitOfIt, nowMs, count)
          assert.equal(taking.admitted, bucket.tokens >= count)
          if (taking.admitted) spent += count
          ;({ bucket } = taking)
        } else if (each.type === 'lease') {
          if (bucket.tokens >= count) bucket = lease(bucket, count)
        } else if (each.type === 'charge') {
          bucket = charge(bucket, count)
        } else {
          const ended = Math.min(count, bucket.leased)
          if (each.type === 'spend') spent += ended
          bucket = each.type === 'spend' ? settle(bucket, ended, 0) : settle(bucket, 0, ended)
        }
        assert.ok(bucket.tokens >= 0 && bucket.leased >= 0)
        assert.ok(bucket.tokens + bucket.leased <= anyLimitOfIt.burst + 1e-6)
        const allowed = anyLimitOfIt.burst + ((nowMs - 1_000) * anyLimitOfIt.requestsPerSecond) / 1000
        assert.ok(spent <= allowed + 1e-6, `${spent} of ${allowed}`)
      }
    }),
  )
})

test('a leased token leaves no room to be filled until it is spent', () => {
  const leased = lease(fullBucket(limit, 0), 4)
  assert.equal(refill(leased, limit, 10_000).tokens, 1)
  assert.equal(refill(settle(leased, 4, 0), limit, 200).tokens, 3)
  assert.deepEqual(settle(leased, 0, 4), fullBucket(limit, 0))
})

test('a bucket is full only when nothing of it is leased', () => {
  assert.equal(isFull(fullBucket(limit, 0), limit), true)
  assert.equal(isFull({ tokens: 5, leased: 1, atMs: 0 }, limit), false)
  assert.equal(isFull({ tokens: 4.9, leased: 0, atMs: 0 }, limit), false)
})

test('the next token is due when time alone has made it', () => {
  const empty = { tokens: 0, leased: 0, atMs: 0 }
  assert.equal(msUntilToken(empty, limit), 100)
  assert.equal(msUntilToken({ ...empty, tokens: 0.75 }, limit), 25)
  assert.equal(msUntilToken({ ...empty, tokens: 3 }, limit), 0)
})

test('lower limits take away what is above them; higher ones give nothing at once', () => {
  const full = fullBucket(limit, 0)
  assert.equal(refill(full, { requestsPerSecond: 1, burst: 2 }, 0).tokens, 2)
  assert.equal(refill(full, { requestsPerSecond: 1, burst: 50 }, 0).tokens, 5)
})

test('a clock that goes back adds nothing and takes nothing', () => {
  const bucket = { tokens: 1, leased: 0, atMs: 1_000 }
  assert.deepEqual(refill(bucket, limit, 900), bucket)
})
