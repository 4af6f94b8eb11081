// Which certificate a name gets, and what becomes of a client by its ClientHello: no sockets here.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { before, test } from 'node:test'
import type { PushedCertificate } from '@reverse-proxy/shared/ipc/messages'
import { ChallengeContexts, SiteContexts } from '../../src/tls/contexts.ts'
import { selectContext } from '../../src/tls/sni-policy.ts'
import { makeCertificate } from '../support/certificates.ts'

let exact: PushedCertificate
let wildcard: PushedCertificate
let longLived: PushedCertificate
before(() => {
  exact = makeCertificate(['a.example', 'www.a.example'])
  wildcard = makeCertificate(['*.a.example'])
  longLived = makeCertificate(['a.example'], { days: 90 })
})

function contextsOf(...certificates: readonly PushedCertificate[]): SiteContexts {
  const contexts = new SiteContexts(randomBytes(48))
  contexts.replace(certificates)
  return contexts
}

test('an exact name comes before a wildcard, which stands for one label', () => {
  const contexts = contextsOf(wildcard, exact)
  const serialFor = (name: string) => contexts.lookup(name)?.serial
  assert.equal(serialFor('a.example'), exact.serial)
  assert.equal(serialFor('www.a.example'), exact.serial)
  assert.equal(serialFor('x.a.example'), wildcard.serial)
  for (const name of ['x.y.a.example', 'example', 'b.example', '', 'a.example.', '__proto__', 'localhost']) {
    assert.equal(serialFor(name), undefined, name)
  }
})

test('of two certificates for a name the one that expires last is served, else the first', () => {
  assert.equal(contextsOf(exact, longLived).lookup('a.example')?.serial, longLived.serial)
  assert.equal(contextsOf(longLived, exact).lookup('a.example')?.serial, longLived.serial)
  assert.equal(contextsOf(exact, longLived).lookup('www.a.example')?.serial, exact.serial)
})

test('a context covers the names of its certificate: for 421', () => {
  const contexts = contextsOf(exact, wildcard)
  const own = contexts.lookup('a.example')
  assert.equal(own?.covers('www.a.example'), true)
  assert.equal(own?.covers('x.a.example'), false)
  const starred = contexts.lookup('x.a.example')
  assert.equal(starred?.covers('y.a.example'), true)
  assert.equal(starred?.covers('a.example'), false)
  assert.equal(starred?.covers('x.y.a.example'), false)
})

test('replacing: all or nothing, and what has not changed keeps its context', () => {
  const contexts = contextsOf(exact)
  const kept = contexts.lookup('a.example')
  contexts.replace([wildcard, exact])
  assert.equal(contexts.lookup('a.example'), kept)

  const { certPem } = longLived
  for (const broken of [
    { ...exact, certPem },
    { ...exact, certPem: 'x' },
    { ...longLived, keyPem: 'x' },
  ]) {
    assert.throws(() => contexts.replace([broken, makeCertificate(['c.example'])]), { code: 'CERTIFICATE' })
    assert.equal(contexts.lookup('a.example'), kept)
    assert.equal(contexts.lookup('x.a.example')?.serial, wildcard.serial)
    assert.equal(contexts.lookup('c.example'), undefined)
  }
  contexts.replace([])
  assert.equal(contexts.lookup('a.example'), undefined)
})

test('challenges: armed by name, disarmed by the next list', () => {
  const challenges = new ChallengeContexts()
  const { certPem, keyPem } = exact
  const serverName = '1.0.0.127.in-addr.arpa'
  challenges.replace([
    { type: 'http-01', token: 't', keyAuthorization: 't.k' },
    { type: 'tls-alpn-01', serverName, certPem, keyPem },
  ])
  const armed = challenges.lookup(serverName)
  assert.ok(armed !== undefined)
  assert.throws(() => challenges.replace([{ type: 'tls-alpn-01', serverName, certPem, keyPem: 'x' }]), {
    code: 'CERTIFICATE',
  })
  assert.equal(challenges.lookup(serverName), armed)
  challenges.replace([])
  assert.equal(challenges.lookup(serverName), undefined)
})

test('what becomes of a client, in the order of the rules', () => {
  const contexts = contextsOf(exact)
  const challenges = new ChallengeContexts()
  const { certPem, keyPem } = wildcard
  challenges.replace([{ type: 'tls-alpn-01', serverName: 'a.example', certPem, keyPem }])
  const outcome = (
    serverName: string | undefined,
    alpn: readonly string[],
    mode: 'serve' | 'challenge' = 'serve',
  ) => {
    const decision = selectContext({ serverName, alpn }, mode, contexts, challenges)
    return decision.kind === 'reject' ? decision.alert : decision.kind
  }
  const acme = ['acme-tls/1']
  for (const mode of ['serve', 'challenge'] as const) {
    assert.equal(outcome('a.example', acme, mode), 'challenge')
    assert.equal(outcome('www.a.example', acme, mode), 'no_application_protocol')
    assert.equal(outcome(undefined, acme, mode), 'no_application_protocol')
  }
  assert.equal(outcome('a.example', ['h2', ...acme]), 'serve')
  assert.equal(outcome('a.example', [...acme, ...acme]), 'serve')
  assert.equal(outcome('a.example', ['ACME-TLS/1']), 'serve')
  assert.equal(outcome('a.example', []), 'serve')
  assert.equal(outcome('b.example', ['h2']), 'unrecognized_name')
  assert.equal(outcome(undefined, ['h2']), 'handshake_failure')
  assert.equal(outcome('a.example', ['h2'], 'challenge'), 'unrecognized_name')
  assert.equal(outcome(undefined, [], 'challenge'), 'unrecognized_name')
})
