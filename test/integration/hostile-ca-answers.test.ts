// What a CA can do to us, and what comes of it: an attempt that fails in bounded time and memory, the CA's
// words kept, and the certificate in service untouched. The answers are bent on their way from a real CA.
import assert from 'node:assert/strict'
import { readFile, readlink, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import type { AcmeSettings } from '@reverse-proxy/shared/config/config'
import type { AcmeFaultProxy } from '../harness/acme/fault-proxy.ts'
import { startAcmeFaultProxy } from '../harness/acme/fault-proxy.ts'
import {
  drip,
  invalidateOrder,
  loseAnswer,
  rearrangeChain,
  reportStatus,
  substituteChain,
  truncate,
} from '../harness/acme/alterations.ts'
import {
  badNonce,
  flood,
  hang,
  html,
  rateLimited,
  refuse,
  reset,
  serverError,
} from '../harness/acme/answers.ts'
import type { Behaviour } from '../harness/acme/exchange.ts'
import { withHeaders, withJson } from '../harness/acme/exchange.ts'
import type { Fault } from '../harness/acme/fault-script.ts'
import { temporaryDirectory } from '../harness/directory.ts'
import type { Pebble, PebbleVisit } from '../harness/acme/pebble.ts'
import { sharePebble, startPebble } from '../harness/acme/pebble.ts'
import { IS_FULL } from '../harness/size.ts'
import type { AcmeLimits } from '../../packages/supervisor/src/certificates/acme-client/transport/time-limits.ts'
import { ACME_LIMITS } from '../../packages/supervisor/src/certificates/acme-client/transport/time-limits.ts'
import { AcmeManager } from '../../packages/supervisor/src/certificates/acme/manager.ts'
import { parseRecord } from '@reverse-proxy/shared/json'
import { answerTlsAlpn, FakeHost, settingsFor } from '../harness/certificates/fake-host.ts'

const LISTENER = '127.0.0.1:443'
const DAY_MS = 86_400_000
const TEST = { timeout: 120_000 }
const NEVER = new AbortController().signal
/** Of the wire, until we hang up: what the kernel's buffers held included. */
const FLOOD_TAKEN_BYTES = 32 * 1024 * 1024
const ISSUED = 'certificate'
// Authorizations that are valid are reused: most of this is about the steps after them.
const visit = await sharePebble({ authorizationReusePercent: 100 })

interface Scene {
  readonly ca: AcmeFaultProxy
  readonly host: FakeHost
  readonly settings: AcmeSettings
  /** Has a certificate, from when the CA was well. */
  readonly manager: AcmeManager
}

async function prepare(
  t: TestContext,
  changes: Partial<AcmeSettings> = {},
  pebble: Pebble | PebbleVisit = visit(t),
): Promise<Scene> {
  const ca = await startAcmeFaultProxy(t, pebble)
  const host = new FakeHost()
  await answerTlsAlpn(t, host, pebble.tlsPort)
  const settings = settingsFor(ca, temporaryDirectory(t), changes)
  const first = new AcmeManager(LISTENER, settings, host)
  await first.load()
  await first.acquire(NEVER)
  await first.close()
  const manager = new AcmeManager(LISTENER, settings, host)
  t.after(async () => await manager.close())
  await manager.load()
  return { ca, host, settings, manager }
}

/** One attempt at a CA that does `fault`: fails as `expected`, and all that was there before still is. */
async function fail(scene: Scene, fault: Fault, expected: RegExp, problem?: RegExp): Promise<void> {
  const { ca, host, settings, manager } = scene
  const current = join(settings.cacheDir, 'current')
  const before = { link: await readlink(current), served: manager.current() }
  const publications = host.published.length
  host.clockOffsetMs += 2 * DAY_MS
  host.logged.length = 0
  ca.removeFaults()
  // Each begins with an order of its own.
  await rm(join(settings.cacheDir, 'order.json'), { force: true })
  const injected = ca.inject(fault)

  await assert.rejects(manager.acquire(NEVER), { code: 'ACME', message: expected })

  assert.ok(injected.hits > 0)
  assert.equal(host.published.length, publications)
  assert.deepEqual({ link: await readlink(current), served: manager.current() }, before)
  assert.deepEqual(host.challenges, [])
  const failed = host.logged.find(({ level, event }) => level === 'warn' && event === 'CERT_FAILED')
  assert.match(String(failed?.fields['error']), expected)
  const record = await readFile(join(settings.cacheDir, 'last-failure.json'), 'utf8')
  const { reason, document } = parseRecord(record) ?? {}
  assert.match(String(reason), expected)
  assert.equal(failed?.fields['problem'], document)
  if (problem !== undefined) assert.match(String(document), problem)
}

function answerWith(body: string, status = 200, contentType = 'application/json'): Behaviour {
  return ({ send }) => send({ status, headers: { 'content-type': contentType }, body: Buffer.from(body) })
}

function alterOrder(change: (order: Record<string, unknown>) => Record<string, unknown>): Behaviour {
  return async ({ forward, send }) => send(withJson(await forward(), change))
}

const DEEP = `{"type":"x","detail":"deep","more":${'['.repeat(300_000)}${']'.repeat(300_000)}}`

test(
  'Hostile or broken CA: whatever it answers, nothing unverified is installed, and its words are kept',
  TEST,
  async (t) => {
    const scene = await prepare(t)
    const { ca, host, manager } = scene

    // Certificates that nobody ordered.
    const chains: readonly (readonly [Behaviour, RegExp])[] = [
      [substituteChain({ otherKey: true }), /the key does not match the certificate/u],
      [substituteChain({ names: ['one.example'] }), /lacks two\.example/u],
      [substituteChain({ names: ['other.example'] }), /lacks one\.example, two\.example/u],
      [
        substituteChain({ notAfterMs: Date.now() - DAY_MS, notBeforeMs: Date.now() - 2 * DAY_MS }),
        /has expired/u,
      ],
      [
        substituteChain({ notBeforeMs: Date.now() + 90 * DAY_MS, notAfterMs: Date.now() + 180 * DAY_MS }),
        /not valid yet/u,
      ],
      [answerWith('', 200, 'application/pem-certificate-chain'), /holds no PEM certificate/u],
      [html(), /holds no PEM certificate/u],
    ]
    for (const [answer, expected] of chains) await fail(scene, { on: ISSUED, answer }, expected)

    // Refusals, with and without reasons; the whole document is kept.
    const tooMany = /rateLimited: too many orders/u
    await fail(scene, { on: 'newOrder', answer: rateLimited() }, tooMany, /"detail":"too many orders"/u)
    await fail(
      scene,
      { on: ['order', 'finalize'], answer: invalidateOrder(['two.example', 'else.example']) },
      /some names cannot be had; two\.example: caa: .*else\.example/u,
      /"identifier":\{"type":"dns","value":"two\.example"\}/u,
    )
    await fail(scene, { on: 'everything', answer: serverError() }, /the CA answered 500/u)
    await fail(scene, { on: 'finalize', answer: serverError() }, /the CA answered 500/u)
    await fail(scene, { on: 'directory', answer: html() }, /cannot read the directory/u)
    await fail(scene, { on: 'newOrder', answer: reset() }, /cannot reach the ACME server/u)
    await fail(scene, { on: 'newOrder', answer: loseAnswer() }, /cannot reach the ACME server/u)
    await fail(scene, { on: 'newOrder', answer: truncate() }, /cannot reach the ACME server/u)
    await fail(scene, { on: 'newOrder', answer: answerWith('[]', 201) }, /an order that cannot be read/u)
    const endless = `{"type":"x","detail":"${'long '.repeat(100_000)}"}`
    const moves = '{"type":"x","detail":"a\\u001b[2J\\u0007b\\r\\nc\\u202ed\\u009be"}'
    await fail(scene, { on: 'newOrder', answer: answerWith(moves, 400) }, /x: a\?\[2J\?b\?\?c\?d\?e$/u)
    await fail(scene, { on: 'newOrder', answer: answerWith(endless, 400) }, /^.{2048}$/u, /^.{16384}$/u)
    await fail(scene, { on: 'newOrder', answer: answerWith(DEEP, 400) }, /x: deep/u)

    // Proofs that nobody asked for.
    const urls = Array.from({ length: 20_000 }, (_, index) => `https://127.0.0.1:1/${index}`)
    const wantsMany = alterOrder((order) => ({ ...order, authorizations: urls }))
    await fail(scene, { on: 'newOrder', answer: wantsMany }, /20000 proofs for 2 names/u)
    const identifier = { type: 'dns', value: 'else.example' }
    const other = alterOrder((authorization) => ({ ...authorization, status: 'pending', identifier }))
    await fail(scene, { on: 'authz', answer: other }, /else\.example proved, which was not ordered/u)
    const plain = alterOrder((order) => ({ ...order, finalize: 'http://127.0.0.1/finalize' }))
    await fail(scene, { on: 'newOrder', answer: plain }, /names a URL that is not https/u)

    // A gigabyte, and nonces that are never good.
    await fail(scene, { on: 'newOrder', answer: flood() }, /maxContentLength/u)
    const [flooded] = ca.requestsOf('newOrder').slice(-1)
    assert.ok(flooded !== undefined && flooded.sentBytes < FLOOD_TAKEN_BYTES, `${flooded?.sentBytes} bytes`)
    const requests = ca.requests.length
    await fail(
      scene,
      { on: 'everything', answer: badNonce(), share: 0.9, when: ({ method }) => method === 'POST' },
      /badNonce/u,
      /not one of ours/u,
    )
    assert.ok(ca.requests.length - requests < 20)

    ca.removeFaults()
    host.clockOffsetMs += 2 * DAY_MS
    const [before] = manager.current()
    await manager.acquire(NEVER)
    assert.notEqual(manager.current()[0]?.serial, before?.serial, 'well again')
  },
)

test(
  'Hostile or broken CA: silence, a trickle and endless processing cost an attempt its time, and no more',
  TEST,
  async (t) => {
    const scene = await prepare(t)
    const { settings, host } = scene
    const within = async (limits: Partial<AcmeLimits>): Promise<Scene> => {
      const manager = new AcmeManager(LISTENER, settings, host, { ...ACME_LIMITS, ...limits })
      t.after(async () => await manager.close())
      await manager.load()
      return { ...scene, manager }
    }
    const quick = await within({ requestMs: 1_000 })
    const silent = /no whole answer within 1 s/u
    await fail(quick, { on: 'newOrder', answer: hang() }, silent)
    if (IS_FULL) await fail(quick, { on: 'directory', answer: drip() }, silent)
    await fail(quick, { on: ISSUED, answer: drip(10) }, silent)
    const processing = { on: ['order', 'finalize'], answer: reportStatus('processing') } as const
    await fail(await within({ finalizationMs: 1_000 }), processing, /the CA does not finish the order/u)
    await fail(await within({ orderMs: 2_000 }), processing, /not finished the order within 2 s/u)
  },
)

test(
  'Hostile or broken CA: an order that is `ready` again after finalization is waited for',
  TEST,
  async (t) => {
    const { ca, host, manager } = await prepare(t)
    host.clockOffsetMs += 2 * DAY_MS
    const [before] = manager.current()
    const stillReady = ca.inject({ on: ['finalize', 'order'], answer: reportStatus('ready'), times: 3 })
    await manager.acquire(NEVER)
    assert.equal(stillReady.hits, 3)
    assert.notEqual(manager.current()[0]?.serial, before?.serial)
  },
)

/** The CA does what it was asked for, and nobody learns of it. */
const lostAnswer: Behaviour = async (exchange) => {
  await exchange.forward()
  await reset()(exchange)
}

test(
  'Hostile or broken CA: one request that fails costs no certificate that has been paid for',
  TEST,
  async (t) => {
    const { ca, host, manager } = await prepare(t)
    for (const [on, answer] of [
      ['certificate', serverError()],
      ['certificate', reset()],
      ['finalize', lostAnswer],
    ] as const) {
      ca.removeFaults()
      host.clockOffsetMs += 2 * DAY_MS
      const [before] = manager.current()
      const orders = ca.requestsOf('newOrder').length
      const fault = ca.inject({ on, answer, times: 1 })
      await manager.acquire(NEVER)
      assert.equal(fault.hits, 1)
      assert.equal(ca.requestsOf('newOrder').length, orders + 1)
      assert.notEqual(manager.current()[0]?.serial, before?.serial)
    }
  },
)

test('Hostile or broken CA: a chain in disorder is put in order, not ordered again', TEST, async (t) => {
  const { ca, host, manager } = await prepare(t)
  for (const arrangement of ['leaf-only', 'reversed', 'foreign-issuer'] as const) {
    host.clockOffsetMs += 2 * DAY_MS
    ca.removeFaults()
    const [before] = manager.current()
    ca.inject({ on: ISSUED, answer: rearrangeChain(arrangement) })
    const orders = ca.requestsOf('newOrder').length
    await manager.acquire(NEVER)
    const [served] = manager.current()
    assert.equal(ca.requestsOf('newOrder').length, orders + 1)
    assert.notEqual(served?.serial, before?.serial, arrangement)
    // The issuer that the CA left out is the one of the certificate before.
    assert.equal(served?.certPem.match(/BEGIN CERTIFICATE/gu)?.length, 2, arrangement)
  }
})

test('Hostile or broken CA: a `Date` that cannot be right stops no renewal', TEST, async (t) => {
  const { ca, host, manager } = await prepare(t)
  for (const date of ['Thu, 01 Jan 1970 00:00:00 GMT', 'Fri, 01 Jan 2100 00:00:00 GMT', 'today']) {
    host.clockOffsetMs = 62 * DAY_MS
    ca.removeFaults()
    const dated = ca.inject({
      on: 'everything',
      answer: async ({ forward, send }) => send(withHeaders(await forward(), { date })),
    })
    const [before] = manager.current()
    await manager.acquire(NEVER)
    assert.ok(dated.hits > 0)
    assert.notEqual(manager.current()[0]?.serial, before?.serial, date)
  }
})

test(
  'Hostile or broken CA: it blames a name that was not ordered, and no second order follows',
  TEST,
  async (t) => {
    const { ca, host, settings } = await prepare(t)
    const more = { ...settings, domains: [...settings.domains, 'three.example'] }
    const manager = new AcmeManager(LISTENER, more, host)
    t.after(async () => await manager.close())
    await manager.load()
    const orders = ca.requestsOf('newOrder').length
    const problem = { status: 400, type: 'rejectedIdentifier', detail: 'no', identifiers: ['example'] }
    ca.inject({ on: 'newOrder', answer: refuse(problem) })
    await assert.rejects(manager.acquire(NEVER), { code: 'ACME' })
    assert.equal(ca.requestsOf('newOrder').length, orders + 1)
  },
)

test(
  'Hostile or broken CA: the account binding, demanded again, is given again; without one the error says how',
  TEST,
  async (t) => {
    const key = Buffer.from('0123456789abcdef0123456789abcdef').toString('base64url')
    const hmacFile = join(temporaryDirectory(t), 'hmac')
    await writeFile(hmacFile, key)
    const scene = await prepare(
      t,
      { eab: { kid: 'kid-1', hmacFile } },
      await startPebble(t, { authorizationReusePercent: 100, externalAccounts: { 'kid-1': key } }),
    )
    const { ca, host, settings, manager } = scene
    const forgotten = { status: 400, type: 'accountDoesNotExist', detail: 'who?' }
    const demanded = { status: 401, type: 'externalAccountRequired', detail: 'who vouches for you?' }
    const forget = (): void => {
      ca.removeFaults()
      host.clockOffsetMs += 2 * DAY_MS
      ca.inject({ on: 'newOrder', answer: refuse(forgotten), times: 1 })
      ca.inject({
        on: 'newAccount',
        answer: refuse(demanded),
        when: ({ payload }) => payload?.['externalAccountBinding'] === undefined,
      })
    }

    forget()
    const [before] = manager.current()
    await manager.acquire(NEVER)
    assert.notEqual(manager.current()[0]?.serial, before?.serial)

    forget()
    const unbound = new AcmeManager(LISTENER, { ...settings, eab: undefined }, host)
    t.after(async () => await unbound.close())
    await unbound.load()
    const served = unbound.current()
    await assert.rejects(unbound.acquire(NEVER), {
      code: 'ACME',
      message: /who vouches for you/u,
      hint: /tls\.acme_eab_kid/u,
    })
    assert.deepEqual(unbound.current(), served)
  },
)
