// What a CA has issued is kept: one odd response at the end of an order, or the end of our process, costs no
// second order. Against a real CA, whose responses are bent on their way.
import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { loseAnswer, reportStatus } from '../harness/acme/alterations.ts'
import { hang, refuse, serverError } from '../harness/acme/answers.ts'
import type { Behaviour } from '../harness/acme/exchange.ts'
import { answerOf } from '../harness/acme/exchange.ts'
import { waitFor } from '../harness/wait.ts'
import { parseRecord } from '@reverse-proxy/shared/json'
import { CaScene } from '../harness/certificates/ca-scene.ts'

const TEST = { timeout: 120_000 }
const SUBTEST = { timeout: 120_000 }
const DAY_MS = 24 * 3_600_000
/** A certificate of 90 days is due then. */
const DUE_MS = 65 * DAY_MS

const say =
  (status: number, body = ''): Behaviour =>
  ({ send }) =>
    send(answerOf(status, 'text/plain', body))

/** The CA signs, and says something else. */
const signsAndSays =
  (status: number): Behaviour =>
  async ({ forward, send }) => {
    await forward()
    send(answerOf(status, 'text/plain', ''))
  }

test(
  'an odd response at the end of an order: the same order still ends in its certificate',
  TEST,
  async (t) => {
    const scene = await CaScene.start(t)
    const { ca } = scene
    const oddities: readonly (readonly [string, 'finalize' | 'certificate', Behaviour])[] = [
      ['finalize 504, signed', 'finalize', signsAndSays(504)],
      ['finalize 500, signed', 'finalize', signsAndSays(500)],
      ['finalize 403, signed', 'finalize', signsAndSays(403)],
      ['finalize 500, not signed', 'finalize', serverError()],
      ['finalize 429, not signed', 'finalize', refuse({ status: 429, type: 'rateLimited', detail: 'busy' })],
      ['download 404', 'certificate', say(404)],
      ['download 429', 'certificate', say(429)],
      ['download 202', 'certificate', say(202)],
      ['download empty', 'certificate', say(200)],
      ['download of a page', 'certificate', say(200, '<html>')],
    ]
    for (const [what, on, answer] of oddities) {
      await t.test(what, SUBTEST, async (st) => {
        const life = scene.enter(st)
        const fault = ca.inject({ on, answer, times: 1 })
        const manager = await life.attempt()
        assert.equal(fault.hits, 1)
        assert.equal(life.newOrders(), 1)
        assert.equal(manager.current().length, 1)
        await assert.rejects(stat(join(life.settings.cacheDir, 'order.json')), { code: 'ENOENT' })
      })
    }
  },
)

test(
  'an order that was cut short is resumed by the next start, which places no second one',
  TEST,
  async (t) => {
    const scene = await CaScene.start(t)
    const { ca, host } = scene

    for (const [when, on, answer] of [
      ['before finalize reaches the CA', 'finalize', hang()],
      ['while the CA signs', 'order', reportStatus('processing')],
      ['before the download', 'certificate', hang()],
    ] as const) {
      await t.test(`stopped ${when}`, SUBTEST, async (st) => {
        const life = scene.enter(st)
        const path = join(life.settings.cacheDir, 'order.json')
        const recorded = (): Promise<string> => readFile(path, 'utf8').catch(() => '')
        const fault = ca.inject({ on, answer })
        const first = await life.load()
        const attempt = first.acquire(new AbortController().signal)
        const isStuck = async (): Promise<boolean> => fault.hits > 0 && (await recorded()) !== ''
        await Promise.all([
          assert.rejects(attempt),
          waitFor('the order is at its end', isStuck, 30_000).then(async () => await first.close()),
        ])
        assert.equal(life.newOrders(), 1)
        assert.equal((await stat(path)).mode & 0o777, 0o600)
        const keyPem = parseRecord(await recorded())?.['keyPem']
        fault.remove()

        // At once: the waiting time is for new orders.
        const second = await life.attempt()
        assert.equal(life.newOrders(), 0)
        assert.equal(second.current()[0]?.keyPem, keyPem)
        assert.equal(await recorded(), '', 'and forgotten, once it is saved')
        const third = await life.load()
        assert.equal(third.needsOrder(), false)
        assert.equal(third.current()[0]?.serial, second.current()[0]?.serial)
      })
    }

    await t.test('a record that is of no use is forgotten, and blocks nothing', SUBTEST, async (st) => {
      const [gone, elsewhere, damaged] = ['gone', 'of other names', 'damaged']
      const changes: Readonly<Record<string, object>> = {
        'with a damaged key': { keyPem: 'none' },
        'without names': { names: [] },
        'that has failed less than never': { failures: -100 },
      }
      const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
      const keyPem = privateKey.export({ type: 'pkcs8', format: 'pem' })
      for (const what of [gone, elsewhere, damaged, ...Object.keys(changes)]) {
        const life = scene.enter(st)
        const first = await life.attempt()
        const path = join(life.settings.cacheDir, 'order.json')
        const record = {
          version: 1,
          directoryUrl: ca.directoryUrl,
          accountUrl: ca.requestsOf('newOrder').at(-1)?.accountUrl,
          orderUrl: new URL('/my-order/gone', ca.directoryUrl).href,
          names: [what === elsewhere ? 'else.example' : 'one.example'],
          keyPem,
          csr: 'none',
          failures: 0,
          ...changes[what],
        }
        await writeFile(path, what === damaged ? '{' : JSON.stringify(record), { mode: 0o600 })
        life.newOrders()
        const asked = ca.requestsOf('order').length
        host.clockOffsetMs = DUE_MS
        const renewed = await life.attempt()
        assert.equal(life.newOrders(), 1, what)
        const lookedAt = ca.requestsOf('order').slice(asked)
        assert.equal(
          lookedAt.some((request) => request.path === '/my-order/gone'),
          what === gone,
        )
        assert.notEqual(renewed.current()[0]?.serial, first.current()[0]?.serial)
        await assert.rejects(stat(path), { code: 'ENOENT' })
      }
    })

    await t.test('an order that the CA only fails at does not block the next one', SUBTEST, async (st) => {
      const life = scene.enter(st)
      const lost = ca.inject({ on: 'certificate', answer: loseAnswer() })
      await assert.rejects(life.attempt())
      lost.remove()
      const [stuck] = ca.requestsOf('order').slice(-1)
      assert.ok(stuck)
      ca.inject({ on: 'order', answer: serverError(), when: ({ path }) => path === stuck.path })
      life.newOrders()
      host.clockOffsetMs += DAY_MS
      await assert.rejects(life.attempt(), /cannot read the order/u)
      assert.equal(life.newOrders(), 0)
      host.clockOffsetMs += DAY_MS
      await life.attempt()
      assert.equal(life.newOrders(), 1)
    })
  },
)
