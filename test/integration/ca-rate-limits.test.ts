// Rate limits: a CA that asks us to wait is asked once and left alone, over restarts too; no name is tried
// more often than CAs allow; and none of this reaches another listener.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { rateLimited, hang, rejectIdentifiers, unavailable } from '../harness/acme/answers.ts'
import { waitFor } from '../harness/wait.ts'
import { AcmeError } from '../../packages/supervisor/src/certificates/acme-client/transport/problem.ts'
import { lastCallAtMs, marginAtMs } from '../../packages/supervisor/src/certificates/renewal/schedule.ts'
import { CaScene } from '../harness/certificates/ca-scene.ts'
import { createRandom } from '../../packages/supervisor/test/support/random.ts'
import {
  DAY_MS,
  HOUR_MS,
  START_MS,
  VirtualWorld,
} from '../../packages/supervisor/test/support/virtual-world.ts'

const TEST = { timeout: 120_000 }
const SECOND_MS = 1_000
const MINUTE_MS = 60 * SECOND_MS
/** The first retry, where the CA asks for nothing. */
const USUAL_MS = MINUTE_MS
const CEILING_MS = DAY_MS
const JITTER = 0.1

test('rate limits: a real CA that refuses', TEST, async (t) => {
  const scene = await CaScene.start(t)
  const { ca, host } = scene

  const inTwoHours = (): string => new Date(host.clock.nowMs() + 2 * HOUR_MS).toUTCString()
  const headers: readonly (readonly [string, string | undefined, number])[] = [
    ['2', '2', 2 * SECOND_MS],
    ['3600', '3600', HOUR_MS],
    ['a date', inTwoHours(), 2 * HOUR_MS],
    ['26 days', String((26 * DAY_MS) / SECOND_MS), 26 * DAY_MS],
    ['garbage', 'soon', 0],
    ['none', undefined, 0],
  ]
  for (const [name, header, askedMs] of headers) {
    // Up to a minute is waited for within the attempt.
    const requests = askedMs <= MINUTE_MS ? 4 : 1
    for (const [status, answer] of [
      ['429', rateLimited(header)],
      ['503', unavailable(header)],
    ] as const) {
      await t.test(
        `rate limits: ${status} with Retry-After ${name}: ${requests} requests in an attempt, the next when it is asked for`,
        TEST,
        async (st) => {
          const life = scene.enter(st)
          ca.inject({ on: 'newOrder', answer })
          await assert.rejects(life.attempt(), { code: 'ACME' })
          assert.equal(life.newOrders(), requests)
          const { failedAtMs, nextAttemptMs } = await life.record('last-failure.json')
          const delayMs = Number(nextAttemptMs) - Number(failedAtMs)
          const leastMs = Math.max(Math.min(askedMs, CEILING_MS), USUAL_MS)
          // A date has whole seconds, and has come a little closer.
          assert.ok(delayMs >= leastMs - MINUTE_MS / 2 && delayMs >= USUAL_MS, `${delayMs} ms`)
          assert.ok(delayMs <= leastMs * (1 + JITTER), `${delayMs} ms`)
        },
      )
    }
  }

  await t.test('rate limits: wherever the CA says so, it is asked once', TEST, async (st) => {
    for (const on of [
      'directory',
      'newNonce',
      'newAccount',
      'newOrder',
      'finalize',
      'certificate',
    ] as const) {
      const life = scene.enter(st)
      ca.inject({ on, answer: rateLimited('7200') })
      const before = ca.requestsOf(on).length
      await assert.rejects(life.attempt(), { code: 'ACME' }, on)
      assert.equal(ca.requestsOf(on).length - before, 1, on)
      const { failedAtMs, nextAttemptMs } = await life.record('last-failure.json')
      assert.equal(Number(nextAttemptMs) - Number(failedAtMs), 2 * HOUR_MS, on)
    }
  })

  await t.test(
    'rate limits: twenty restarts with nothing cached place no order, and say when the next is due',
    TEST,
    async (st) => {
      const life = scene.enter(st)
      ca.inject({ on: 'newOrder', answer: rateLimited('3600') })
      await assert.rejects(life.attempt())
      const before = ca.requests.length
      for (let restarts = 0; restarts < 20; restarts++) {
        await assert.rejects(life.attempt(), { code: 'ACME', message: /the next is due at .*rateLimited/u })
      }
      assert.equal(ca.requests.length, before)
      ca.removeFaults()
      host.clockOffsetMs += HOUR_MS + SECOND_MS
      assert.equal((await life.attempt()).needsOrder(), false)
    },
  )

  await t.test(
    'rate limits: twenty restarts with a certificate that is due ask the CA nothing',
    TEST,
    async (st) => {
      const life = scene.enter(st)
      await life.attempt()
      host.clockOffsetMs = 65 * DAY_MS
      ca.inject({ on: 'newOrder', answer: rateLimited('3600') })
      await assert.rejects(life.attempt())
      const { nextAttemptMs } = await life.record('last-failure.json')
      // The renewal information is asked for once, and then again when the CA has said so.
      const first = await life.load()
      first.start()
      await first.close()
      const orders = ca.requestsOf('newOrder').length
      for (let restarts = 0; restarts < 20; restarts++) {
        const manager = await life.load()
        assert.equal(manager.needsOrder(), false)
        assert.equal(manager.status().nextAttemptMs, nextAttemptMs)
        manager.start()
        await manager.close()
      }
      assert.equal(ca.requestsOf('newOrder').length, orders)
    },
  )

  await t.test(
    'rate limits: other names, by reload or restart, do not cut the wait short',
    TEST,
    async (st) => {
      const life = scene.enter(st)
      await life.attempt()
      host.clockOffsetMs = 65 * DAY_MS
      ca.inject({ on: 'newOrder', answer: rateLimited('3600') })
      await assert.rejects(life.attempt(), /rateLimited/u)
      assert.equal(life.newOrders(), 2)
      for (const added of ['x.example', 'y.example']) {
        const manager = await life.load({ domains: [...life.settings.domains, added] })
        assert.equal((manager.status().nextAttemptMs ?? 0) > host.clock.nowMs() + HOUR_MS / 2, true)
        await assert.rejects(manager.renew(), /the CA asks to wait until/u)
      }
      assert.equal(life.newOrders(), 0)
    },
  )

  await t.test(
    'rate limits: a name that failed is not tried again because others were added, which are ordered at once',
    TEST,
    async (st) => {
      const life = scene.enter(st, { domains: ['bad.example', 'good.example'] })
      ca.inject({
        on: 'newOrder',
        answer: rejectIdentifiers(['bad.example']),
        when: ({ identifiers }) => identifiers.includes('bad.example'),
      })
      await life.attempt().catch(() => {})
      assert.equal(life.newOrders(), 2)
      for (const added of ['x.example', 'y.example']) {
        const domains = [...life.settings.domains, added]
        const manager = await life.load({ domains })
        manager.start()
        await waitFor('the added name', () => manager.status().missing.length === 1)
        assert.deepEqual(manager.status().missing, ['bad.example'])
        await manager.close()
        assert.equal(life.newOrders(), 1, 'without the bad one')
        assert.ok((manager.status().nextAttemptMs ?? 0) > host.clock.nowMs())
      }
    },
  )

  await t.test(
    'rate limits: good names that fail for another reason are tried again at the next attempt',
    TEST,
    async (st) => {
      const life = scene.enter(st, { domains: ['bad.example', 'good.example'] })
      ca.inject({ on: 'newOrder', answer: rejectIdentifiers(['bad.example']), when: hasBad })
      ca.inject({ on: 'newOrder', answer: unavailable(), times: 4, when: (request) => !hasBad(request) })
      await assert.rejects(life.attempt())
      host.clockOffsetMs += 2 * MINUTE_MS
      const manager = await life.attempt()
      assert.deepEqual(manager.status().missing, ['bad.example'])
    },
  )

  await t.test('rate limits: no Retry-After leads past the margin before expiry', TEST, async (st) => {
    const life = scene.enter(st)
    const [facts] = (await life.attempt()).status().certificates
    assert.ok(facts)
    ca.inject({ on: 'newOrder', answer: rateLimited(String((26 * DAY_MS) / SECOND_MS)) })
    for (const offsetMs of [65 * DAY_MS, 74 * DAY_MS, 74.9 * DAY_MS]) {
      host.clockOffsetMs = offsetMs
      await assert.rejects(life.attempt(), /rateLimited/u)
      const { failedAtMs, nextAttemptMs } = await life.record('last-failure.json')
      assert.ok(Number(nextAttemptMs) < marginAtMs(facts), `at ${offsetMs / DAY_MS} days`)
      const wantedMs = Math.min(DAY_MS, (lastCallAtMs(facts) - Number(failedAtMs)) / 2)
      assert.ok(Number(nextAttemptMs) - Number(failedAtMs) >= wantedMs - SECOND_MS)
    }
  })

  await t.test('rate limits: a listener whose CA is silent or refuses delays no other', TEST, async (st) => {
    const slow = scene.enter(st, { domains: ['slow.example'] })
    const other = scene.enter(st, { domains: ['other.example'] })
    ca.inject({
      on: 'newOrder',
      answer: hang(),
      when: ({ identifiers }) => identifiers.includes('slow.example'),
    })
    const manager = await slow.load()
    const stop = new AbortController()
    const waiting = assert.rejects(manager.acquire(stop.signal), /enough/u)
    assert.equal((await other.attempt()).needsOrder(), false)
    stop.abort(new Error('enough'))
    await waiting
    assert.deepEqual(await other.record('last-failure.json'), {})
  })
})

for (const [name, lifetimeMs] of [
  ['an hour', HOUR_MS],
  ['160 hours', 160 * HOUR_MS],
] as const) {
  test(
    `rate limits: names that the CA tries in vain are tried five times an hour at most, a certificate of ${name} or none, restarts and all`,
    TEST,
    async (t) => {
      const random = createRandom(3)
      const world = new VirtualWorld(t, {
        random,
        lifetimeMs: () => lifetimeMs,
        outages: [{ fromMs: START_MS + lifetimeMs / 3, toMs: Infinity }],
        suggest: () => undefined,
        refusal: () => new AcmeError('cannot validate', { reachedCa: true, failedNames: ['one.example'] }),
      })
      await world.live(lifetimeMs / 3)
      for (
        const endMs = START_MS + lifetimeMs + Math.min(lifetimeMs, DAY_MS / 2);
        world.clock.trueMs < endMs;
      ) {
        await world.live(lifetimeMs * 0.1 * random()).catch(() => world.clock.advance(3 * MINUTE_MS))
      }
      const timesMs = world.attempts.map(({ atMs }) => atMs)
      for (const fromMs of timesMs) {
        const within = timesMs.filter((timeMs) => timeMs >= fromMs && timeMs < fromMs + HOUR_MS)
        assert.ok(within.length <= 5, `${within.length} attempts in an hour`)
      }
      assert.ok(timesMs.length > 3)
    },
  )
}

function hasBad({ identifiers }: { readonly identifiers: readonly string[] }): boolean {
  return identifiers.includes('bad.example')
}
