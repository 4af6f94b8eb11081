// One bad name never takes the others down, however many there are and however a CA tells of them; and what
// went wrong is said of each.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { rejectIdentifiers, unavailable } from '../harness/acme/answers.ts'
import { CaScene } from '../harness/certificates/ca-scene.ts'

const TEST = { timeout: 120_000 }
const MINUTE_MS = 60_000
/** The full set, and five times without what the CA has named. */
const MOST_ORDERS = 6

test('bad names: at a real CA that names one at a time', TEST, async (t) => {
  const scene = await CaScene.start(t)
  const { ca, host } = scene
  /** Refuses the first of `names` that an order is for. */
  const refuseOneOf = (names: readonly string[]): void => {
    for (const [index, name] of names.entries()) {
      ca.inject({
        on: 'newOrder',
        answer: rejectIdentifiers([name]),
        when: ({ identifiers }) =>
          identifiers.includes(name) && !names.slice(0, index).some((other) => identifiers.includes(other)),
      })
    }
  }

  await t.test(
    'bad names: two of three, one named after the other: the third gets its certificate within one attempt',
    TEST,
    async (st) => {
      const life = scene.enter(st, { domains: ['bad.example', 'good.example', 'worse.example'] })
      refuseOneOf(['bad.example', 'worse.example'])
      const manager = await life.attempt()
      const { certificates, missing, failure } = manager.status()
      assert.deepEqual(certificates[0]?.names, ['good.example'])
      assert.deepEqual(missing, ['bad.example', 'worse.example'])
      assert.deepEqual(failure?.failedNames, ['bad.example', 'worse.example'])
      assert.match(failure?.reason ?? '', /bad\.example.*; .*worse\.example/u)
      assert.equal(life.newOrders(), 3)

      // The whole set is tried again when it is due; without the bad ones there is nothing more to be had.
      host.clockOffsetMs += 2 * MINUTE_MS
      await assert.rejects(life.attempt())
      assert.equal(life.newOrders(), 1)
    },
  )

  await t.test('bad names: more of them than rounds lead to so many orders and no more', TEST, async (st) => {
    const bad = Array.from({ length: MOST_ORDERS + 2 }, (_, index) => `bad-${index}.example`)
    const life = scene.enter(st, { domains: [...bad, 'good.example'] })
    refuseOneOf(bad)
    await assert.rejects(life.attempt(), (error: Error) => {
      assert.match(error.message, /bad-0\.example.*without bad-0\.example: .*bad-1\.example/u)
      return true
    })
    assert.equal(life.newOrders(), MOST_ORDERS)
    assert.deepEqual((await life.record('last-failure.json'))['failedNames'], bad.slice(0, MOST_ORDERS))
    for (let starts = 0; starts < 3; starts++) await assert.rejects(life.attempt(), /the next is due at/u)
    assert.equal(life.newOrders(), 0)
    host.clockOffsetMs += 2 * MINUTE_MS
    await assert.rejects(life.attempt())
    assert.equal(life.newOrders(), 1, 'left out once a day')
  })

  await t.test(
    'bad names: a start that fails for another reason then names the bad one, its reason, and the other',
    TEST,
    async (st) => {
      const life = scene.enter(st, { domains: ['bad.example', 'good.example'] })
      ca.inject({
        on: 'newOrder',
        answer: unavailable('3600'),
        when: (order) => !order.identifiers.includes('bad.example'),
      })
      refuseOneOf(['bad.example'])
      await assert.rejects(life.attempt(), {
        code: 'ACME',
        message:
          /the order is refused: rejectedIdentifier: .*bad\.example.*; then, without bad\.example: the order is refused: rateLimited/u,
        hint: /take it out of tls\.acme_domains/u,
      })
      const { failedAtMs, caWaitUntilMs, nextAttemptMs } = await life.record('last-failure.json')
      assert.equal(nextAttemptMs, caWaitUntilMs, 'its Retry-After is obeyed')
      assert.ok(Number(nextAttemptMs) - Number(failedAtMs) >= 60 * MINUTE_MS)
    },
  )
})
