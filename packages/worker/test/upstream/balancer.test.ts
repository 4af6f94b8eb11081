// Which peer gets a request: shares by weight, keys that stay, health, and what follows on a failure.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { byKey, hashOf, leastRequests, roundRobin } from '../../src/upstream/balancer.ts'
import { HEALTHY, healthAfterFailure, isOut } from '../../src/upstream/health.ts'
import { nextAttempt, type AttemptsSoFar, type Failure } from '../../src/upstream/retry.ts'

const WEIGHTS = fc.array(fc.integer({ min: 1, max: 10 }), { minLength: 1, maxLength: 6 })

function peersOf(weights: readonly number[]) {
  return weights.map((weight, i) => ({ weight, load: 0, credit: 0, hash: hashOf(`10.0.0.${i}:80`) }))
}

/** Uniform in [0, 1), the same in every run (a linear congruential generator). */
function chanceOf(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 0x1_0000_0000
  }
}

function assertShares(weights: readonly number[], chosen: readonly number[]): void {
  const total = weights.reduce((sum, weight) => sum + weight, 0)
  for (const [i, weight] of weights.entries()) {
    const share = chosen.filter((at) => at === i).length / chosen.length
    assert.ok(Math.abs(share - weight / total) < 0.02, `${weights.join(':')}: peer ${i} gets ${share}`)
  }
}

test('round_robin: in as many requests as all weights together, each gets exactly its weight', () => {
  fc.assert(
    fc.property(WEIGHTS, (weights) => {
      const peers = peersOf(weights)
      const total = weights.reduce((sum, weight) => sum + weight, 0)
      const chosen = Array.from({ length: total }, () => peers.indexOf(roundRobin(peers)))
      for (const [i, weight] of weights.entries())
        assert.equal(chosen.filter((at) => at === i).length, weight)
    }),
    { seed: 1 },
  )
})

test('least_requests: shares within 2 % of the weights, with idle and with busy peers', () => {
  fc.assert(
    fc.property(WEIGHTS, fc.constantFrom(0, 64), (weights, inFlight) => {
      const peers = peersOf(weights)
      const random = chanceOf(7)
      const busy: (typeof peers)[number][] = []
      const chosen = Array.from({ length: 20_000 }, () => {
        const peer = leastRequests(peers, random)
        peer.load += 1
        busy.push(peer)
        if (busy.length > inFlight) busy.shift()!.load -= 1
        return peers.indexOf(peer)
      })
      assertShares(weights, chosen)
    }),
    { seed: 1, numRuns: 20 },
  )
})

test('least_requests: a peer that does not get on with its requests gets fewer', () => {
  const peers = peersOf([1, 1])
  const [stuck] = peers
  assert.ok(stuck)
  stuck.load = 100
  const random = chanceOf(7)
  const chosen = Array.from({ length: 1_000 }, () => leastRequests(peers, random))
  assert.ok(chosen.filter((peer) => peer === stuck).length < 300)
})

test('client, header and cookie: shares by weight; a key moves only if its peer has gone', () => {
  fc.assert(
    fc.property(WEIGHTS, (weights) => {
      const peers = peersOf(weights)
      const keys = Array.from({ length: 20_000 }, (_, i) => `192.0.2.${i}`)
      const before = keys.map((key) => byKey(peers, key))
      assertShares(
        weights,
        before.map((peer) => peers.indexOf(peer)),
      )
      if (peers.length === 1) return
      const [gone, ...left] = peers
      for (const [i, key] of keys.entries()) if (before[i] !== gone) assert.equal(byKey(left, key), before[i])
    }),
    { seed: 1, numRuns: 20 },
  )
})

test('health: so many failures within the window take a peer out for 10 s; then one is enough at first', () => {
  const settings = { failAfter: 3, failWindowMs: 10_000 }
  const after = (health: typeof HEALTHY, ...times: number[]) =>
    times.reduce((state, ms) => healthAfterFailure(state, ms, settings), health)
  assert.equal(isOut(after(HEALTHY, 0, 1), 2), false)
  assert.equal(isOut(after(HEALTHY, 0, 9_000, 10_500), 10_500), false)
  const out = after(HEALTHY, 0, 1, 2)
  assert.equal(isOut(out, 10_001), true)
  assert.equal(isOut(out, 10_002), false)
  assert.equal(isOut(after(out, 10_003), 10_004), true)
  assert.equal(isOut(after(out, 25_000), 25_001), false)
})

test('what follows on a failure', () => {
  const refused: Failure = {
    code: 'UPSTREAM_CONNECT',
    phase: 'sent',
    isReused: false,
    isRepeatable: false,
  }
  const reset: Failure = { code: 'UPSTREAM_RESET', phase: 'sent', isReused: true, isRepeatable: true }
  const timeout: Failure = { ...reset, code: 'UPSTREAM_TIMEOUT' }
  const none: AttemptsSoFar = { isFresh: false, hasOther: false, hasTime: false }
  const all: AttemptsSoFar = { isFresh: false, hasOther: true, hasTime: true }
  for (const [failure, soFar, expected] of [
    [refused, all, 'other'],
    [refused, { ...all, hasOther: false }, 'later'],
    [refused, none, 'fail'],
    [reset, all, 'fresh'],
    [reset, { ...all, isFresh: true }, 'other'],
    [reset, { ...none, isFresh: true }, 'fail'],
    [{ ...reset, isReused: false }, none, 'fail'],
    [{ ...reset, isReused: false }, all, 'other'],
    [{ ...reset, isRepeatable: false }, all, 'fail'],
    [{ ...reset, isRepeatable: false, phase: 'unsent' }, none, 'fresh'],
    [{ ...reset, phase: 'answered' }, all, 'fail'],
    [timeout, all, 'fail'],
  ] as const)
    assert.equal(nextAttempt(failure, soFar), expected, JSON.stringify([failure, soFar]))
})
