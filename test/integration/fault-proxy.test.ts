// The fault proxy keeps its promises: a plain client's honest order passes through it to the real Pebble,
// and each fault that a test injects is what that client gets to see.
import assert from 'node:assert/strict'
import { createPrivateKey, X509Certificate } from 'node:crypto'
import type { TestContext } from 'node:test'
import { describe, it } from 'node:test'
import acme from 'acme-client'
import type { AcmeFaultProxy } from '../harness/acme/fault-proxy.ts'
import { startAcmeFaultProxy } from '../harness/acme/fault-proxy.ts'
import {
  invalidateOrder,
  rearrangeChain,
  reportStatus,
  substituteChain,
  withoutNonce,
} from '../harness/acme/alterations.ts'
import {
  badNonce,
  html,
  rateLimited,
  refuse,
  refuseReplaces,
  rejectIdentifiers,
  unavailable,
} from '../harness/acme/answers.ts'
import type { Behaviour } from '../harness/acme/exchange.ts'
import type { Reply } from '../harness/acme/plain-client.ts'
import { locationOf, objectOf, PlainClient } from '../harness/acme/plain-client.ts'
import { suggestAt, windowOf } from '../harness/acme/renewal-info.ts'
import type { AcmeRequest } from '../harness/acme/request.ts'
import type { Pebble } from '../harness/acme/pebble.ts'
import { startPebble } from '../harness/acme/pebble.ts'

const TEST = { timeout: 120_000 }
const DAY_MS = 24 * 60 * 60 * 1000
const NAMES = ['a.example.com', 'b.example.com']

interface Stage {
  readonly pebble: Pebble
  readonly ca: AcmeFaultProxy
  readonly client: PlainClient
}

async function setStage(t: TestContext): Promise<Stage> {
  const pebble = await startPebble(t)
  const ca = await startAcmeFaultProxy(t, pebble)
  return { pebble, ca, client: await PlainClient.register(t, ca, pebble.httpPort) }
}

describe('ACME fault proxy: an honest CA', () => {
  it(
    'an order goes through it to Pebble, and every URL it is given leads back to the proxy',
    TEST,
    async (t) => {
      const { pebble, ca, client } = await setStage(t)
      const { chainPem, keyPem } = await client.obtain(NAMES)
      const leaf = new X509Certificate(chainPem)
      assert.ok(leaf.checkPrivateKey(createPrivateKey(keyPem)))
      assert.ok(NAMES.every((name) => leaf.checkHost(name)))

      const asked = new Set(ca.requests.map(({ headers }) => headers.host))
      assert.deepEqual([...asked], [new URL(ca.directoryUrl).host])
      assert.equal(pebble.requests('newOrder'), 1)

      const [order, ...more] = ca.requestsOf('newOrder')
      assert.deepEqual(more, [])
      assert.deepEqual(order?.identifiers, NAMES)
      assert.equal(order.status, 201)
      assert.ok(order.sentBytes > 0)
      assert.ok(Math.abs(Date.now() - order.atMs) < TEST.timeout)
      assert.match(order.accountUrl ?? '', /\/my-account\//u)
      const counts = (['newAccount', 'authz', 'challenge', 'finalize', 'certificate'] as const).map(
        (kind) => ca.requestsOf(kind).length,
      )
      assert.deepEqual(counts, [1, 2, 2, 1, 1])
      assert.deepEqual([...new Set(ca.requests.map(({ error }) => error))], [undefined])
    },
  )

  it(
    'renewal information: of certificates fetched here, with the window that the test wants',
    TEST,
    async (t) => {
      const { ca, client } = await setStage(t)
      await client.obtain(NAMES)
      const [certificate] = ca.certificates
      assert.ok(certificate)
      const url = `${await client.urlOf('renewalInfo')}/${certificate.id}`
      const { notBeforeMs, notAfterMs, serial } = certificate
      assert.equal(serial, new X509Certificate(certificate.chainPem).serialNumber)

      const usual = await client.get(url)
      const twoThirdsMs = notBeforeMs + ((notAfterMs - notBeforeMs) * 2) / 3
      assert.ok(startOf(usual) < twoThirdsMs && startOf(usual) > twoThirdsMs - 2 * DAY_MS)
      assert.equal(usual.headers['retry-after'], '21600')

      ca.suggest = (one) => ({
        ...windowOf(one.notAfterMs, 0),
        explanationUrl: 'https://why.example',
        retryAfter: '0',
      })
      const odd = await client.get(url)
      assert.equal(odd.headers['retry-after'], '0')
      assert.deepEqual(odd.data, {
        suggestedWindow: { start: new Date(notAfterMs).toISOString(), end: '1970-01-01T00:00:00.000Z' },
        explanationURL: 'https://why.example',
      })

      ca.suggest = suggestAt(-1)
      assert.ok(startOf(await client.get(url)) < notBeforeMs)
      ca.suggest = () => undefined
      assert.equal((await client.get(url)).status, 404)
      ca.inject({ on: 'renewalInfo', answer: html(503) })
      assert.equal((await client.get(url)).headers['content-type'], 'text/html')
    },
  )

  it(
    '`replaces`: recorded and shown in the order; refused as Boulder would, by what has been issued',
    TEST,
    async (t) => {
      const { ca, client } = await setStage(t)
      await client.obtain(NAMES)
      const replaces = ca.certificates[0]?.id
      const stranger = await PlainClient.register(t, ca, 0)
      assert.equal((await stranger.newOrder(NAMES, { replaces })).status, 403)
      assert.equal((await client.newOrder(['c.example.com'], { replaces })).status, 400)
      assert.equal((await client.newOrder(NAMES, { replaces: 'AAAA.AAAA' })).status, 404)

      const order = await client.newOrder(NAMES, { replaces })
      assert.equal(objectOf(order)['replaces'], replaces)
      assert.equal(ca.requestsOf('newOrder').at(-1)?.replaces, replaces)
      await client.obtain(NAMES, { replaces })
      const again = await client.newOrder(NAMES, { replaces })
      assert.deepEqual(again.data, {
        type: 'urn:ietf:params:acme:error:alreadyReplaced',
        status: 409,
        detail: "Could not validate ARI 'replaces' field :: the certificate has a replacement",
      })
    },
  )

  it('profiles: in the directory once offered, shown in the order, refused if unknown', TEST, async (t) => {
    const { ca, client } = await setStage(t)
    ca.profiles = { shortlived: 'six days' }
    const directory = objectOf(await client.get(ca.directoryUrl))
    assert.deepEqual(Object(directory['meta']).profiles, { shortlived: 'six days' })
    const order = await client.newOrder(NAMES, { profile: 'shortlived' })
    assert.equal(objectOf(order)['profile'], 'shortlived')
    assert.equal(ca.requestsOf('newOrder')[0]?.profile, 'shortlived')
    assert.equal(typeOf(await client.newOrder(NAMES, { profile: 'eternal' })), 'invalidProfile')
  })

  it('without ARI: the directory does not name it, and `replaces` means nothing', TEST, async (t) => {
    const { ca, client } = await setStage(t)
    ca.suggest = undefined
    const directory = objectOf(await client.get(ca.directoryUrl))
    assert.equal(directory['renewalInfo'], undefined)
    assert.equal((await client.newOrder(NAMES, { replaces: 'AAAA.AAAA' })).status, 201)
  })
})

describe('ACME fault proxy: a CA that refuses', () => {
  it('a limit: so many requests, with the Retry-After as the test spells it', TEST, async (t) => {
    const { pebble, ca, client } = await setStage(t)
    for (const retryAfter of [
      '2',
      '3600',
      'Fri, 31 Dec 2032 23:59:59 GMT',
      '2246400',
      'in a while',
      undefined,
    ]) {
      for (const [answer, status] of [
        [rateLimited(retryAfter), 429],
        [unavailable(retryAfter), 503],
      ] as const) {
        const fault = ca.inject({ on: 'newOrder', answer, times: 2 })
        for (const reply of [await client.newOrder(NAMES), await client.newOrder(NAMES)]) {
          assert.equal(reply.status, status)
          assert.equal(reply.headers['retry-after'], retryAfter)
          assert.equal(typeOf(reply), 'rateLimited')
        }
        assert.equal(fault.hits, 2)
      }
    }
    assert.equal(pebble.requests('newOrder'), 0)
    assert.equal((await client.newOrder(NAMES)).status, 201)
  })

  it(
    '`replaces`, for any reason at will: the refusal names it, an order without it goes through',
    TEST,
    async (t) => {
      const { ca, client } = await setStage(t)
      for (const [reason, status, type] of [
        ['alreadyReplaced', 409, 'alreadyReplaced'],
        ['conflict', 409, 'conflict'],
        ['unauthorized', 403, 'unauthorized'],
        ['unknown', 404, 'malformed'],
        ['otherNames', 400, 'malformed'],
      ] as const) {
        const fault = ca.inject({ on: 'newOrder', answer: refuseReplaces(reason) })
        const refused = await client.newOrder(NAMES, { replaces: 'AAAA.AAAA' })
        assert.deepEqual([refused.status, typeOf(refused)], [status, type])
        assert.match(String(objectOf(refused)['detail']), /'replaces'/u)
        assert.equal((await client.newOrder(NAMES)).status, 201)
        fault.remove()
      }
    },
  )

  it('nonces: exactly the share that was asked for, each refusal with a good one', TEST, async (t) => {
    const { ca, client } = await setStage(t)
    const fault = ca.inject({ on: 'everything', answer: badNonce(), share: 0.9, when: isSigned })
    const before = ca.requests.filter(isSigned).length
    // acme-client itself tries five times more.
    const replies = [await client.newOrder(NAMES), await client.newOrder(NAMES), await client.newOrder(NAMES)]
    assert.deepEqual(
      replies.map(({ status }) => status),
      [400, 201, 400],
    )
    assert.equal(typeOf(replies[0]), 'badNonce')
    assert.equal(ca.requests.filter(isSigned).length - before, 6 + 4 + 6)
    assert.equal(fault.hits, 15)
  })

  it('names: all the bad ones in one document', TEST, async (t) => {
    const { ca, client } = await setStage(t)
    ca.inject({ on: 'newOrder', answer: rejectIdentifiers(['b.example.com']) })
    const { subproblems } = objectOf(await client.newOrder(NAMES))
    assert.deepEqual(subproblems, [
      {
        type: 'urn:ietf:params:acme:error:rejectedIdentifier',
        detail: 'the name is not allowed',
        identifier: { type: 'dns', value: 'b.example.com' },
      },
    ])
    ca.removeFaults()
    const gone = { status: 400, type: 'accountDoesNotExist', detail: 'who?' }
    ca.inject({ on: 'newOrder', answer: refuse(gone) })
    assert.equal(typeOf(await client.newOrder(NAMES)), 'accountDoesNotExist')
  })
})

describe('ACME fault proxy: a CA that lies', () => {
  it('states that last as long as the test wants, while Pebble goes on', TEST, async (t) => {
    const { ca, client } = await setStage(t)
    const lie = ca.inject({ on: ['order', 'finalize'], answer: reportStatus('ready') })
    const order = await client.newOrder(NAMES)
    const finalized = objectOf(
      await client.finish(order, (await acme.crypto.createPrivateEcdsaKey()).toString()),
    )
    assert.equal(finalized['status'], 'ready')
    assert.equal(finalized['certificate'], undefined)
    lie.remove()
    assert.ok(objectOf(await client.awaitStatus(locationOf(order), 'valid'))['certificate'])

    const [authorization] = Object(order.data).authorizations
    ca.inject({ on: 'authz', answer: reportStatus('pending') })
    const pending = objectOf(await client.post(authorization, null))
    assert.equal(pending['status'], 'pending')
    assert.match(JSON.stringify(pending['challenges']), /"status":"pending"/u)
  })

  it('an order that fails for one name, with a subproblem', TEST, async (t) => {
    const { ca, client } = await setStage(t)
    ca.inject({ on: ['order', 'finalize'], answer: invalidateOrder(['b.example.com']), times: 1 })
    const order = objectOf(await client.post(locationOf(await client.newOrder(NAMES)), null))
    assert.equal(order['status'], 'invalid')
    const [subproblem] = Object(order['error']).subproblems
    assert.equal(subproblem.identifier.value, 'b.example.com')
    assert.equal(subproblem.type, 'urn:ietf:params:acme:error:caa')
  })

  it('certificates: wrong in what was asked for, right in all else', TEST, async (t) => {
    const { ca, client } = await setStage(t)
    const nowMs = Math.floor(Date.now() / 1000) * 1000
    const cases: readonly (readonly [answer: Behaviour, flaws: readonly string[]])[] = [
      [substituteChain({}), []],
      [substituteChain({ otherKey: true }), ['key']],
      [substituteChain({ names: ['other.example.com'] }), ['names']],
      [substituteChain({ notBeforeMs: nowMs - 2 * DAY_MS, notAfterMs: nowMs - DAY_MS }), ['dates']],
      [substituteChain({ notBeforeMs: nowMs + DAY_MS, notAfterMs: nowMs + 2 * DAY_MS }), ['dates']],
      [rearrangeChain('leaf-only'), ['chain']],
      [rearrangeChain('foreign-issuer'), ['chain']],
      [rearrangeChain('reversed'), ['key', 'names', 'chain']],
    ]
    for (const [answer, flaws] of cases) {
      const fault = ca.inject({ on: 'certificate', answer })
      const { chainPem, keyPem } = await client.obtain(NAMES)
      assert.deepEqual(flawsOf(chainPem, keyPem), flaws)
      fault.remove()
    }
    assert.equal(ca.certificates.length, cases.length)
  })

  it('no nonce in an answer', TEST, async (t) => {
    const { ca, client } = await setStage(t)
    ca.inject({ on: 'newOrder', answer: withoutNonce(), times: 1 })
    assert.equal((await client.newOrder(NAMES)).headers['replay-nonce'], undefined)
    assert.ok((await client.newOrder(NAMES)).headers['replay-nonce'])
  })
})

function typeOf(reply: Reply | undefined): string {
  return String(Object(reply?.data).type).replace('urn:ietf:params:acme:error:', '')
}

function startOf(reply: Reply): number {
  return Date.parse(Object(reply.data).suggestedWindow.start)
}

function isSigned({ method }: AcmeRequest): boolean {
  return method === 'POST'
}

/** What is wrong with a chain, judged by Node alone. */
function flawsOf(chainPem: string, keyPem: string): string[] {
  const chain = chainPem.split(/(?=-----BEGIN)/u).map((pem) => new X509Certificate(pem))
  const [leaf, issuer] = chain
  assert.ok(leaf)
  const nowMs = Date.now()
  const flaws: Record<string, boolean> = {
    key: !leaf.checkPrivateKey(createPrivateKey(keyPem)),
    names: !NAMES.every((name) => leaf.checkHost(name) === name),
    dates: leaf.validFromDate.getTime() > nowMs || leaf.validToDate.getTime() < nowMs,
    chain: issuer === undefined || !leaf.checkIssued(issuer) || !leaf.verify(issuer.publicKey),
  }
  return Object.keys(flaws).filter((flaw) => flaws[flaw])
}
