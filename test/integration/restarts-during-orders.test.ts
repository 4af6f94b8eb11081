// Restarts: an order that is cut short, or that one listener of several has paid for, does not become
// an order for every start.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { hang, serverError } from '../harness/acme/answers.ts'
import { waitFor } from '../harness/wait.ts'
import { CaScene } from '../harness/certificates/ca-scene.ts'

const TEST = { timeout: 120_000 }
const MINUTE_MS = 60_000

test('restarts: at a real CA', TEST, async (t) => {
  const scene = await CaScene.start(t)
  const { ca, host } = scene

  await t.test(
    'restarts: orders that a stop cuts short count: one more at once, then the starts wait',
    TEST,
    async (st) => {
      const life = scene.enter(st)
      ca.inject({ on: 'authz', answer: hang() })
      for (let starts = 1; starts <= 2; starts++) {
        const asked = ca.requestsOf('authz').length
        const stop = new AbortController()
        const manager = await life.load()
        const cutShort = assert.rejects(manager.acquire(stop.signal), /SIGTERM/u)
        await waitFor('the order to be under way', () => ca.requestsOf('authz').length > asked)
        stop.abort(new Error('SIGTERM'))
        await cutShort
        assert.equal(life.newOrders(), 1)
      }
      ca.removeFaults()
      await assert.rejects(life.attempt(), { code: 'ACME', message: /the next is due at .*cut short/u })
      assert.equal(life.newOrders(), 0)
      host.clockOffsetMs += 12 * MINUTE_MS
      assert.equal((await life.attempt()).needsOrder(), false)
      assert.deepEqual(await life.record('last-failure.json'), {})
    },
  )

  await t.test(
    'restarts: a failure of ours after the order was placed counts as one at the CA',
    TEST,
    async (st) => {
      const life = scene.enter(st, { domains: ['unarmed.example'] })
      st.mock.method(host, 'arm', async () => {
        throw new Error('no worker can answer')
      })
      await assert.rejects(life.attempt(), /no worker can answer/u)
      assert.equal((await life.record('last-failure.json'))['reachedCa'], true)
      await assert.rejects(life.attempt(), /the next is due at/u)
      assert.equal(life.newOrders(), 1)
    },
  )

  await t.test('restarts: a new contact that the CA refuses does not stop the order', TEST, async (st) => {
    const life = scene.enter(st)
    await life.attempt()
    host.clockOffsetMs = 65 * 24 * 60 * MINUTE_MS
    ca.inject({ on: 'account', answer: serverError() })
    await life.attempt({ contact: 'mailto:other@one.example' })
    assert.equal(life.newOrders(), 2)
  })
})
