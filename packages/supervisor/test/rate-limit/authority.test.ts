import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { RateLimit } from '@reverse-proxy/shared/config/config'
import type { LeaseGrant, LeaseReport, LeasedTokens } from '@reverse-proxy/shared/ipc/messages'
import { bucketKey } from '@reverse-proxy/shared/rate-limit/rate-limits'
import { LocalRateLimitAuthority } from '../../src/rate-limit/authority.ts'
import { recordingLog } from '../support/recording-log.ts'

const CLIENT = '203.0.113.1'
const A = 1
const B = 2
const client = (host: number): string => `198.51.100.${host}`

function setUp(general: RateLimit, { workers = 4, maxBuckets = 100, site = general } = {}) {
  const clock = { nowMs: 5_000 }
  const log = recordingLog()
  const sites = new Map([['site.example', site]])
  const authority = new LocalRateLimitAuthority({
    limits: { general, sites },
    log,
    nowMs: () => clock.nowMs,
    workers: () => workers,
    seed: 1,
    maxBuckets,
  })
  let seq = 0
  const request = (worker: number, parts: object): LeaseGrant => {
    const grants: LeaseGrant[] = []
    const empty = { reports: [], charges: [], asks: [] }
    authority.request(worker, { type: 'lease-request', seq: ++seq, ...empty, ...parts }, (grant) =>
      grants.push(grant),
    )
    const [grant] = grants
    assert.ok(grant !== undefined && grants.length === 1)
    assert.equal(grant.seq, seq)
    return grant
  }
  /** What the worker gets. */
  const ask = (worker: number, needed: number, ahead = 0, key = CLIENT): LeasedTokens => {
    const [granted] = request(worker, { asks: [{ key, needed, ahead }] }).grants
    assert.ok(granted !== undefined)
    return granted
  }
  const report = (worker: number, part: Partial<LeaseReport>): void => {
    request(worker, { reports: [{ key: CLIENT, spent: 0, returned: 0, ...part }] })
  }
  const charge = (worker: number, count: number): void => {
    request(worker, { charges: [{ key: CLIENT, count }] })
  }
  return { authority, clock, log, ask, report, charge }
}

test('waiting requests get what is there; the answer says when the next token comes', () => {
  const { ask, clock } = setUp({ requestsPerSecond: 4, burst: 3 })
  assert.deepEqual(ask(A, 2), { key: CLIENT, tokens: 2, waitMs: 0, recheckMs: 0 })
  assert.equal(ask(A, 2).tokens, 1)
  assert.deepEqual(ask(A, 1), { key: CLIENT, tokens: 0, waitMs: 250, recheckMs: 250 })
  clock.nowMs += 100
  assert.equal(ask(A, 1).waitMs, 150)
  clock.nowMs += 150
  assert.equal(ask(A, 1).tokens, 1)
})

test('tokens ahead of need are a small share, so that other workers find some', () => {
  const { ask } = setUp({ requestsPerSecond: 1, burst: 81 }, { workers: 4 })
  assert.equal(ask(A, 1, 3).tokens, 4)
  assert.equal(ask(B, 1, 1_000).tokens, 1 + Math.floor(76 / 8))
  assert.equal(ask(B, 60, 1_000).tokens, 60 + Math.floor(7 / 8))
})

test('while somebody may return a token it is worth asking again within a second', () => {
  const { ask, report } = setUp({ requestsPerSecond: 0.01, burst: 3 })
  ask(A, 3)
  assert.deepEqual(ask(B, 1), { key: CLIENT, tokens: 0, waitMs: 100_000, recheckMs: 1_000 })
  report(A, { spent: 2, returned: 1 })
  assert.equal(ask(B, 1).tokens, 1)
  report(B, { spent: 1 })
  assert.equal(ask(B, 1).recheckMs, 100_000)
})

test('leased tokens take up room: a bucket does not fill behind them', () => {
  const { ask, clock, report } = setUp({ requestsPerSecond: 1_000, burst: 10 })
  ask(A, 8)
  clock.nowMs += 900
  assert.equal(ask(B, 10).tokens, 2)
  report(B, { spent: 2 })
  report(A, { spent: 8 })
  clock.nowMs += 5
  assert.equal(ask(B, 10).tokens, 5)
})

test('leases of a dead worker count as spent', () => {
  const { authority, ask, clock } = setUp({ requestsPerSecond: 1, burst: 10 })
  ask(A, 8)
  authority.forgetWorker(A)
  assert.equal(ask(B, 10).tokens, 2)
  clock.nowMs += 3_000
  assert.equal(ask(B, 10).tokens, 3)
})

test('a lease nobody reports on counts as spent, and a late report of it changes nothing', () => {
  const { ask, clock, report } = setUp({ requestsPerSecond: 0.001, burst: 10 })
  ask(A, 8)
  clock.nowMs += 1_249
  report(A, { returned: 1 })
  assert.equal(ask(B, 10).tokens, 3)
  clock.nowMs += 100
  ask(B, 0)
  report(A, { returned: 7 })
  assert.equal(ask(B, 10).tokens, 0)
})

test('no report gives back more than was leased', () => {
  const { ask, report } = setUp({ requestsPerSecond: 0.001, burst: 10 })
  ask(A, 4)
  report(A, { spent: 3, returned: 90 })
  assert.equal(ask(B, 20).tokens, 7)
})

test('what a worker admitted on its own is taken away afterwards, as far as it is there', () => {
  const { ask, charge, clock } = setUp({ requestsPerSecond: 1, burst: 10 })
  charge(A, 4)
  assert.equal(ask(B, 1).tokens, 1)
  charge(A, 40)
  assert.equal(ask(B, 1).tokens, 0)
  clock.nowMs += 1_000
  assert.equal(ask(B, 1).tokens, 1)
})

test('a site with its own limit has its own bucket for each client', () => {
  const { ask } = setUp({ requestsPerSecond: 1, burst: 2 }, { site: { requestsPerSecond: 1, burst: 7 } })
  const key = bucketKey('site.example', CLIENT)
  assert.equal(ask(A, 10, 0, key).tokens, 7)
  assert.equal(ask(A, 10).tokens, 2)
  assert.equal(ask(A, 10, 0, '2001:db8:0:1::/64').tokens, 2)
})

test('new limits hold at once and clear nothing: time before them counts by the old ones', () => {
  const before = { requestsPerSecond: 1, burst: 10 }
  const { authority, ask, clock, report } = setUp(before)
  ask(A, 10)
  report(A, { spent: 10 })
  clock.nowMs += 4_000
  authority.configure({ general: { requestsPerSecond: 100, burst: 1_000 }, sites: new Map() })
  clock.nowMs += 20
  assert.equal(ask(A, 100).tokens, 6)
  report(A, { spent: 6 })
  clock.nowMs += 500
  authority.configure({ general: { requestsPerSecond: 100, burst: 3 }, sites: new Map() })
  assert.equal(ask(A, 100).tokens, 3)
})

test('a bucket that was not looked at through many changes gets no more than each of them gave', () => {
  const { authority, ask, clock } = setUp({ requestsPerSecond: 1, burst: 100 })
  ask(A, 100)
  authority.forgetWorker(A)
  for (let change = 0; change < 40; change++) {
    clock.nowMs += 1_000
    const requestsPerSecond = change % 2 === 0 ? 1_000 : 1
    authority.configure({ general: { requestsPerSecond, burst: 2_000 - change }, sites: new Map() })
  }
  // The last 16 periods: 8 of 1,000 tokens, 8 of one.
  assert.equal(ask(A, 100_000).tokens, 1_961)
})

test('a bucket is forgotten when it is full again, and not before', () => {
  const { authority, ask, clock } = setUp({ requestsPerSecond: 1, burst: 5 })
  const visit = (host: number): LeasedTokens => ask(A, 1, 0, client(host))
  for (let host = 0; host < 60; host++) visit(host)
  authority.forgetWorker(A)
  assert.equal(authority.size, 60)
  clock.nowMs += 1_000
  for (let host = 100; host < 160; host++) visit(host)
  assert.ok(authority.size <= 61, `${authority.size} remembered`)
  for (let host = 100; host < 160; host++) assert.equal(ask(B, 9, 0, client(host)).tokens, 4)
})

test('memory is bounded: clients without room share one bucket, which is logged once', () => {
  const { authority, ask, clock, log } = setUp({ requestsPerSecond: 1, burst: 5 }, { maxBuckets: 10 })
  for (let host = 0; host < 10; host++) ask(A, 1, 0, client(host))
  assert.equal(ask(A, 2, 0, client(20)).tokens, 2)
  assert.equal(ask(A, 2, 0, client(21)).tokens, 2)
  assert.equal(ask(A, 2, 0, client(22)).tokens, 1)
  assert.equal(ask(A, 2, 0, client(23)).tokens, 0)
  assert.equal(ask(A, 9, 0, client(3)).tokens, 4, 'known clients keep their own')
  assert.equal(authority.size, 10)
  const overflows = log.lines.filter(({ event }) => event === 'RATE_LIMIT_OVERFLOW')
  assert.deepEqual(overflows, [{ level: 'warn', event: 'RATE_LIMIT_OVERFLOW', host: undefined, clients: 10 }])

  // The shared bucket is not full yet when there is room again: whoever may have drawn from it gets no fresh burst,
  // and nothing on top before the leases from it have ended.
  authority.forgetWorker(A)
  clock.nowMs += 1_000
  assert.equal(ask(B, 1, 0, client(24)).tokens, 1)
  clock.nowMs += 3_000
  assert.equal(ask(A, 9, 0, client(21)).tokens, 4)

  // Full again: an episode is over, the next one is logged again.
  authority.forgetWorker(A)
  authority.forgetWorker(B)
  clock.nowMs += 60_000
  for (let host = 30; host < 50; host++) ask(A, 1, 0, client(host))
  assert.equal(log.lines.filter(({ event }) => event === 'RATE_LIMIT_OVERFLOW').length, 2)
})

test('a client that leased from the shared bucket gains nothing on its own one until that lease has ended', () => {
  const other = '198.51.100.1'
  const { ask, clock, report } = setUp({ requestsPerSecond: 100, burst: 10 }, { maxBuckets: 1 })
  ask(A, 1, 0, other)
  report(A, { key: other, spent: 1 })
  assert.equal(ask(A, 6).tokens, 6, 'from the shared bucket')
  clock.nowMs += 600
  assert.equal(ask(B, 20).tokens, 4, 'the other is forgotten: an own bucket, beside the lease')
  report(B, { spent: 4 })
  clock.nowMs += 999
  assert.equal(ask(B, 20).tokens, 0)
  clock.nowMs += 51
  assert.equal(ask(B, 20).tokens, 5)
})
