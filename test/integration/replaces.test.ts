// `replaces` (RFC 9773 5): sent to the CA and account that issued the certificate, to nobody else; and
// never the reason for which a renewal fails, or is tried for ever.
import assert from 'node:assert/strict'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { startAcmeFaultProxy } from '../harness/acme/fault-proxy.ts'
import { loseAnswer } from '../harness/acme/alterations.ts'
import { rateLimited, refuse, refuseReplaces, reset, serverError } from '../harness/acme/answers.ts'
import { waitFor } from '../harness/wait.ts'
import { CaScene } from '../harness/certificates/ca-scene.ts'

const TEST = { timeout: 120_000 }
const DAY_MS = 24 * 60 * 60 * 1000
/** A certificate of 90 days is due then. */
const DUE_MS = 65 * DAY_MS

test('replaces: the whole matrix, against a real CA', TEST, async (t) => {
  const scene = await CaScene.start(t)
  const { ca, host } = scene
  /** What the last orders said: which certificate they replace. */
  const replacesOf = (orders: number): (string | undefined)[] =>
    ca
      .requestsOf('newOrder')
      .slice(-orders)
      .map(({ replaces }) => replaces)
  const failures = (): number => host.events().filter((event) => event === 'warn CERT_FAILED').length

  await t.test(
    'replaces: a renewal names the certificate that it replaces, and one order is enough',
    TEST,
    async (st) => {
      const life = scene.enter(st)
      await life.attempt()
      assert.deepEqual(replacesOf(life.newOrders()), [undefined])
      const old = ca.certificates.at(-1)
      host.clockOffsetMs = DUE_MS
      await life.attempt()
      assert.deepEqual(replacesOf(life.newOrders()), [old?.id])
      assert.equal(old?.replaced, true)
    },
  )

  for (const reason of ['alreadyReplaced', 'conflict', 'unauthorized', 'unknown', 'otherNames'] as const) {
    await t.test(`replaces: refused as ${reason}, the same attempt goes on without it`, TEST, async (st) => {
      const life = scene.enter(st)
      const first = await life.attempt()
      const old = ca.certificates.at(-1)
      life.newOrders()
      ca.inject({ on: 'newOrder', answer: refuseReplaces(reason) })
      host.clockOffsetMs = DUE_MS
      const renewed = await life.attempt()
      assert.deepEqual(replacesOf(life.newOrders()), [old?.id, undefined])
      assert.notEqual(renewed.current()[0]?.serial, first.current()[0]?.serial)
      assert.equal(failures(), 0)
    })
  }

  await t.test(
    'replaces: refused in words that do not name it, the order is placed once more without',
    TEST,
    async (st) => {
      const life = scene.enter(st)
      await life.attempt()
      life.newOrders()
      const odd = refuse({ status: 409, type: 'malformed', detail: 'no' })
      ca.inject({ on: 'newOrder', answer: odd, when: ({ replaces }) => replaces !== undefined })
      host.clockOffsetMs = DUE_MS
      await life.attempt()
      assert.equal(life.newOrders(), 2)
      assert.equal(failures(), 0)
    },
  )

  for (const [what, answer] of [
    ['500', serverError()],
    ['a reset', reset()],
    ['400 without words', refuse({ status: 400, type: 'malformed', detail: 'no' })],
  ] as const) {
    await t.test(
      `replaces: ${what} for every order that has it, and the same attempt renews`,
      TEST,
      async (st) => {
        const life = scene.enter(st)
        const first = await life.attempt()
        const old = ca.certificates.at(-1)
        life.newOrders()
        ca.inject({ on: 'newOrder', answer, when: ({ replaces }) => replaces !== undefined })
        host.clockOffsetMs = DUE_MS
        const renewed = await life.attempt()
        assert.notEqual(renewed.current()[0]?.serial, first.current()[0]?.serial)
        const placed = replacesOf(life.newOrders())
        assert.equal(placed[0], old?.id)
        assert.deepEqual(
          placed.filter((replaces) => replaces === undefined),
          [undefined],
        )
        assert.equal(failures(), 0)
      },
    )
  }

  await t.test(
    'replaces: a rate limit is the end of the attempt, and no second order follows',
    TEST,
    async (st) => {
      const life = scene.enter(st)
      await life.attempt()
      const old = ca.certificates.at(-1)
      life.newOrders()
      ca.inject({ on: 'newOrder', answer: rateLimited() })
      host.clockOffsetMs = DUE_MS
      await assert.rejects(life.attempt(), /rateLimited/u)
      for (const replaces of replacesOf(life.newOrders())) assert.equal(replaces, old?.id)
    },
  )

  await t.test(
    'replaces: a certificate that was issued and lost on its way is fetched by the next attempt, not ordered again',
    TEST,
    async (st) => {
      const life = scene.enter(st)
      const first = await life.attempt()
      const old = ca.certificates.at(-1)
      life.newOrders()
      host.clockOffsetMs = DUE_MS
      const fault = ca.inject({ on: 'certificate', answer: loseAnswer() })
      await assert.rejects(life.attempt())
      assert.equal(old?.replaced, true, 'the CA has done its part')
      assert.deepEqual(replacesOf(life.newOrders()), [old?.id])
      fault.remove()
      host.clockOffsetMs += 60 * 60 * 1000
      const renewed = await life.attempt()
      assert.notEqual(renewed.current()[0]?.serial, first.current()[0]?.serial)
      assert.equal(life.newOrders(), 0)
      assert.equal(failures(), 1)
    },
  )

  await t.test('replaces: not sent to a CA without renewal information', TEST, async (st) => {
    const life = scene.enter(st)
    await life.attempt()
    ca.suggest = undefined
    life.newOrders()
    host.clockOffsetMs = DUE_MS
    await life.attempt()
    assert.deepEqual(replacesOf(life.newOrders()), [undefined])
  })
})

test('replaces: other CAs, other accounts, missing files', TEST, async (t) => {
  const scene = await CaScene.start(t)
  const { ca, host, pebble } = scene
  const other = await startAcmeFaultProxy(t, pebble)
  const replacesAt = (): (string | undefined)[] => ca.requestsOf('newOrder').map(({ replaces }) => replaces)

  await t.test(
    'replaces: another CA is asked for a certificate of its own, once, and not told of the old one',
    TEST,
    async (st) => {
      const life = scene.enter(st)
      await life.attempt()
      const publications = host.published.length
      const moved = await life.load({ directoryUrl: other.directoryUrl, caFile: other.caFile })
      assert.equal(moved.needsOrder(), false, 'the old certificate serves meanwhile')
      moved.start()
      await waitFor('the new CA has issued', () => host.published.length === publications + 1, 30_000)
      await moved.close()
      const orders = other.requestsOf('newOrder')
      assert.deepEqual(
        orders.map(({ replaces }) => replaces),
        [undefined],
      )

      // Neither a restart nor the way back makes a loop.
      const again = await life.load({ directoryUrl: other.directoryUrl, caFile: other.caFile })
      assert.equal(again.isComplete(), true)
      again.start()
      await waitFor(
        'its renewal information is there',
        async () => (await life.record('renewal.json'))['window'],
        30_000,
      )
      await again.close()
      assert.equal(other.requestsOf('newOrder').length, 1)
      assert.equal(life.newOrders(), 1)
    },
  )

  await t.test(
    'replaces: with an account that was lost here, the old certificate is not named',
    TEST,
    async (st) => {
      const life = scene.enter(st)
      await life.attempt()
      await rm(join(life.settings.cacheDir, 'accounts'), { recursive: true })
      host.clockOffsetMs = DUE_MS
      await life.attempt()
      assert.equal(life.newOrders(), 2)
      assert.equal(replacesAt().at(-1), undefined)
    },
  )

  await t.test(
    'replaces: with files of the cache gone, one certificate is obtained, and no more',
    TEST,
    async (st) => {
      const life = scene.enter(st)
      await life.attempt()
      for (const file of ['current/cert.pem', 'current/meta.json', 'renewal.json', 'current']) {
        life.newOrders()
        await rm(join(life.settings.cacheDir, file), { recursive: true })
        const manager = await life.load()
        if (manager.needsOrder()) await manager.acquire(new AbortController().signal)
        manager.start()
        await waitFor(
          'the next question to the CA is agreed',
          async () => Number((await life.record('renewal.json'))['nextLookMs']) > Date.now(),
          30_000,
        )
        await manager.close()
        assert.ok(life.newOrders() <= 1, file)
        assert.equal((await life.load()).isComplete(), true, file)
      }
    },
  )

  await t.test(
    'replaces: with an account that the CA has lost, it is made anew, and the old certificate not named',
    TEST,
    async (st) => {
      const life = scene.enter(st)
      await life.attempt()
      await pebble.kill()
      await pebble.start()
      life.newOrders()
      host.clockOffsetMs = DUE_MS
      await life.attempt()
      const [refused, placed] = ca.requestsOf('newOrder').slice(-2)
      assert.equal(life.newOrders(), 2)
      assert.notEqual(refused?.accountUrl, placed?.accountUrl)
      assert.equal(placed?.replaces, undefined)
    },
  )
})
