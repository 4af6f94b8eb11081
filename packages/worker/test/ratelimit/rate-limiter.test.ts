import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ADMITTED } from '../../src/ratelimit/limiter.ts'
import { FakeAuthority, limitsOf } from '../support/fake-authority.ts'

const CLIENT = '203.0.113.1'
const OTHER = '2001:db8:0:1::/64'
const general = { requestsPerSecond: 10, burst: 80 }

function setUp(limits = limitsOf(general)): FakeAuthority {
  return new FakeAuthority(limits)
}

test('all that is asked in one turn goes in one message, one ask for each client', () => {
  const proxy = setUp()
  const outcomes = [proxy.request(CLIENT), proxy.request(CLIENT), proxy.request(OTHER)]
  assert.equal(proxy.sent.length, 0)
  proxy.turn()
  assert.equal(proxy.sent.length, 1)
  assert.deepEqual(proxy.sent[0]?.asks, [
    { key: CLIENT, needed: 2, ahead: 0 },
    { key: OTHER, needed: 1, ahead: 0 },
  ])
  proxy.grant(2, 1)
  assert.deepEqual(
    outcomes.map(({ verdict }) => verdict),
    [ADMITTED, ADMITTED, ADMITTED],
  )
})

test('a held lease admits without a message', () => {
  const proxy = setUp()
  proxy.request(CLIENT)
  proxy.turn()
  proxy.grant(4)
  for (let i = 0; i < 3; i++) assert.equal(proxy.request(CLIENT).verdict, ADMITTED)
  proxy.turn()
  assert.equal(proxy.sent.length, 1)
  assert.equal(proxy.request(CLIENT).verdict, undefined)
  proxy.turn()
  assert.deepEqual(proxy.sent[1]?.reports, [{ key: CLIENT, spent: 4, returned: 0 }])
})

test('a remembered refusal answers without a message until a token can exist, and says when', () => {
  const proxy = setUp()
  const refused = proxy.request(CLIENT)
  proxy.turn()
  proxy.grant({ tokens: 0, waitMs: 4_200, recheckMs: 4_200 })
  assert.equal(refused.verdict, 5)
  proxy.pass(300)
  assert.equal(proxy.request(CLIENT).verdict, 4)
  proxy.pass(3_899)
  assert.equal(proxy.request(CLIENT).verdict, 1)
  assert.equal(proxy.sent.length, 1)
  proxy.pass(1)
  assert.equal(proxy.request(CLIENT).verdict, undefined)
})

test('a refusal under which a token may be returned is remembered for less time, and says the same', () => {
  const proxy = setUp()
  proxy.request(CLIENT)
  proxy.turn()
  proxy.grant({ tokens: 0, waitMs: 60_000, recheckMs: 1_000 })
  proxy.pass(999)
  assert.equal(proxy.request(CLIENT).verdict, 60)
  proxy.pass(1)
  assert.equal(proxy.request(CLIENT).verdict, undefined)
})

test('Retry-After is never less than a second', () => {
  const proxy = setUp()
  const refused = proxy.request(CLIENT)
  proxy.turn()
  proxy.grant({ tokens: 0, waitMs: 0.5, recheckMs: 0.5 })
  assert.equal(refused.verdict, 1)
})

test('requests that came while the answer was under way are asked for in turn', () => {
  const proxy = setUp()
  const first = proxy.request(CLIENT)
  proxy.turn()
  const second = proxy.request(CLIENT)
  proxy.turn()
  assert.equal(proxy.sent.length, 1)
  proxy.grant(1)
  assert.equal(first.verdict, ADMITTED)
  assert.equal(second.verdict, undefined)
  proxy.turn()
  assert.deepEqual(proxy.sent[1]?.asks, [{ key: CLIENT, needed: 1, ahead: 13 }])
  proxy.grant({ tokens: 0, waitMs: 100, recheckMs: 100 })
  assert.equal(second.verdict, 1)
})

test('a busy client leases what it is likely to spend in a quarter of a second', () => {
  const proxy = setUp()
  proxy.request(CLIENT)
  proxy.turn()
  proxy.grant(11)
  for (let i = 0; i < 10; i++) {
    proxy.pass(20)
    assert.equal(proxy.request(CLIENT).verdict, ADMITTED)
  }
  proxy.request(CLIENT)
  proxy.turn()
  // 11 in 200 ms.
  assert.deepEqual(proxy.sent.at(-1)?.asks, [{ key: CLIENT, needed: 1, ahead: 14 }])
})

test('a lease ends one second after it was asked for, however late it came, and the rest is returned', () => {
  const proxy = setUp()
  proxy.request(CLIENT)
  proxy.turn()
  proxy.nowMs += 900
  proxy.grant(5)
  proxy.nowMs += 99
  assert.equal(proxy.request(CLIENT).verdict, ADMITTED)
  proxy.nowMs += 1
  assert.equal(proxy.request(CLIENT).verdict, undefined)
  proxy.turn()
  assert.deepEqual(proxy.sent[1]?.reports, [{ key: CLIENT, spent: 2, returned: 3 }])
})

test('what an idle client has not spent is returned soon after the lease has ended', () => {
  const proxy = setUp()
  proxy.request(CLIENT)
  proxy.turn()
  proxy.grant(3)
  proxy.pass(900)
  assert.equal(proxy.sent.length, 1)
  proxy.pass(200)
  assert.deepEqual(proxy.sent[1]?.reports, [{ key: CLIENT, spent: 1, returned: 2 }])
})

test('a grant that comes after its lease has ended is returned whole', () => {
  const proxy = setUp()
  proxy.request(CLIENT)
  proxy.turn()
  proxy.pass(1_100)
  proxy.grant(2)
  proxy.pass(50)
  assert.deepEqual(proxy.sent[1]?.reports, [{ key: CLIENT, spent: 0, returned: 2 }])
})

test('a large part of a small bucket is reported at once', () => {
  const proxy = setUp(limitsOf({ requestsPerSecond: 10, burst: 16 }))
  proxy.request(CLIENT)
  proxy.turn()
  proxy.grant(1)
  proxy.turn()
  assert.deepEqual(proxy.sent[1]?.reports, [{ key: CLIENT, spent: 1, returned: 0 }])
})

test('after 250 ms without an answer a worker decides by its own part of the limit', () => {
  const proxy = setUp()
  const waiting = proxy.request(CLIENT)
  proxy.turn()
  proxy.pass(249)
  assert.equal(waiting.verdict, undefined)
  proxy.pass(1)
  assert.equal(waiting.verdict, ADMITTED)
  assert.equal(proxy.silences, 1)
  // A quarter of the burst of 80, and then of 10 a second.
  for (let i = 1; i < 20; i++) assert.equal(proxy.request(CLIENT).verdict, ADMITTED)
  assert.equal(proxy.request(CLIENT).verdict, 1)
  proxy.pass(400)
  assert.equal(proxy.request(CLIENT).verdict, ADMITTED)
  assert.equal(proxy.request(CLIENT).verdict, 1)
  assert.equal(proxy.sent.length, 1)
})

test('in silence even the smallest burst admits one request', () => {
  const proxy = setUp(limitsOf({ requestsPerSecond: 1, burst: 1 }))
  const waiting = proxy.request(CLIENT)
  proxy.turn()
  proxy.pass(250)
  assert.equal(waiting.verdict, ADMITTED)
  assert.equal(proxy.request(CLIENT).verdict, 4)
})

test('when the authority answers again it decides again, and hears what was admitted meanwhile', () => {
  const proxy = setUp()
  proxy.request(CLIENT)
  proxy.turn()
  proxy.pass(250)
  proxy.request(OTHER)
  proxy.request(CLIENT)
  proxy.grant(1)
  proxy.pass(50)
  assert.deepEqual(proxy.sent[1]?.charges, [
    { key: CLIENT, count: 2 },
    { key: OTHER, count: 1 },
  ])
  assert.equal(proxy.request(OTHER).verdict, undefined)
  assert.equal(proxy.silences, 1)
})

test('what is granted to those that silence has decided is given back, with what was admitted meanwhile', () => {
  const proxy = setUp()
  proxy.request(CLIENT)
  proxy.turn()
  proxy.pass(250)
  proxy.request(CLIENT)
  proxy.grant(5)
  proxy.turn()
  assert.deepEqual(proxy.sent[1]?.reports, [{ key: CLIENT, spent: 0, returned: 5 }])
  assert.deepEqual(proxy.sent[1]?.charges, [{ key: CLIENT, count: 2 }])
})

test('a worker that stood still itself reads what has come before it takes the authority for silent', () => {
  const proxy = setUp()
  const waiting = proxy.request(CLIENT)
  proxy.turn()
  proxy.standStill(5_000, () => proxy.grant(1))
  assert.equal(proxy.silences, 0)
  assert.equal(waiting.verdict, undefined, 'that grant was too old; it is asked for again')
  proxy.grant(1)
  assert.equal(waiting.verdict, ADMITTED)
})

test('a site with its own limit is decided apart, also in silence', () => {
  const proxy = setUp(limitsOf(general, { requestsPerSecond: 1, burst: 8 }))
  const ofSite = proxy.request(CLIENT, 'site.example')
  const ofAll = proxy.request(CLIENT)
  proxy.turn()
  assert.deepEqual(
    proxy.sent[0]?.asks.map(({ key }) => key),
    [`${CLIENT}|site.example`, CLIENT],
  )
  proxy.pass(250)
  assert.deepEqual([ofSite.verdict, ofAll.verdict], [ADMITTED, ADMITTED])
  assert.equal(proxy.request(CLIENT, 'site.example').verdict, ADMITTED)
  assert.equal(proxy.request(CLIENT, 'site.example').verdict, 4)
})

test('new limits hold for the next request: no lease and no refusal outlives the old ones', () => {
  const proxy = setUp()
  proxy.request(CLIENT)
  proxy.request(OTHER)
  proxy.turn()
  proxy.grant(5, { tokens: 0, waitMs: 9_000, recheckMs: 9_000 })
  proxy.limiter.configure(limitsOf({ ...general }))
  assert.equal(proxy.request(CLIENT).verdict, ADMITTED, 'the same limits change nothing')
  assert.equal(proxy.request(OTHER).verdict, 9)
  proxy.limiter.configure(limitsOf({ requestsPerSecond: 1, burst: 5 }))
  assert.equal(proxy.request(CLIENT).verdict, undefined)
  assert.equal(proxy.request(OTHER).verdict, undefined)
  proxy.turn()
  assert.deepEqual(proxy.sent.at(-1)?.reports, [{ key: CLIENT, spent: 2, returned: 3 }])
})

test('closing gives everything back', () => {
  const proxy = setUp()
  proxy.request(CLIENT)
  proxy.turn()
  proxy.grant(5)
  proxy.limiter.close()
  assert.deepEqual(proxy.sent.at(-1)?.reports, [{ key: CLIENT, spent: 1, returned: 4 }])
  const sent = proxy.sent.length
  proxy.limiter.close()
  proxy.pass(5_000)
  assert.equal(proxy.sent.length, sent)
})

test('a worker without clients is at rest', () => {
  const proxy = setUp()
  proxy.request(CLIENT)
  proxy.turn()
  proxy.grant(1)
  proxy.pass(2_000)
  const sent = proxy.sent.length
  proxy.pass(60_000)
  assert.equal(proxy.sent.length, sent)
})
