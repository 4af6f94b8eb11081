// What may be installed: pairs that match, and chains that a CA could have got wrong in every way.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { test } from 'node:test'
import * as x509 from '@peculiar/x509'
import type { CertificatePair } from '../../../../test/harness/tls-material.ts'
import { TestCa } from '../../../../test/harness/tls-material.ts'
import { inspectPair } from '../../src/certificates/crypto/inspect.ts'
import { inspectIssuedChain } from '../../src/certificates/crypto/issued-chain.ts'
import { generateKey, importSigningKey } from '../../src/certificates/crypto/keys.ts'
import { createAuthority, createLeaf } from '../../src/certificates/crypto/signing.ts'

const DAY_MS = 86_400_000

function reasonOf(inspection: ReturnType<typeof inspectPair>): string {
  assert.equal(inspection.ok, false)
  return inspection.ok ? '' : inspection.reason
}

test('a pair that matches: names, serial, issuer and dates are read, other text is dropped', async (t) => {
  const ca = await TestCa.create(t)
  const leaf = await ca.issue(['A.example', '*.b.example', '127.0.0.1'])
  const inspection = inspectPair(`some text\n${leaf.certPem}more text\n${ca.certPem}`, leaf.keyPem)
  assert.ok(inspection.ok)
  const { facts, certPem } = inspection
  assert.deepEqual(facts.names, ['a.example', '*.b.example', '127.0.0.1'])
  assert.match(facts.serial, /^[0-9A-F]+$/u)
  assert.equal(facts.issuer, 'Test CA')
  assert.ok(facts.notAfterMs - facts.notBeforeMs === 2 * DAY_MS)
  assert.equal(certPem, leaf.certPem + ca.certPem)
})

test('pairs that cannot be used say why', async (t) => {
  const ca = await TestCa.create(t)
  const [one, two] = [await ca.issue(['one.example']), await ca.issue(['two.example'])]
  assert.match(reasonOf(inspectPair('', one.keyPem)), /holds no PEM certificate/u)
  assert.match(reasonOf(inspectPair(one.certPem, two.keyPem)), /does not match/u)
  assert.match(reasonOf(inspectPair(ca.certPem + one.certPem, one.keyPem)), /must come first/u)
  assert.match(reasonOf(inspectPair(one.certPem, 'nothing')), /key cannot be read/u)
  const torn = one.certPem.replace(/\n[^\n]+\n-----END/u, '\n-----END')
  assert.match(reasonOf(inspectPair(torn, one.keyPem)), /cannot be parsed/u)
})

test('a key too weak for TLS is found out before a worker is given it', () => {
  const options = ['-newkey', 'rsa:1024', '-subj', '/CN=test', '-addext', 'subjectAltName=DNS:a.example']
  const pem = execFileSync('openssl', ['req', '-x509', ...options, '-noenc', '-keyout', '-', '-out', '-'], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  assert.match(reasonOf(inspectPair(pem, pem)), /TLS cannot use it: .*key too small/u)
})

test('a name with a comma in it cannot smuggle in another', async () => {
  const keyPem = generateKey('ecdsa-p256')
  const { pair, algorithm } = await importSigningKey(keyPem)
  const names = ['a.example, DNS:victim.example', 'b.example", DNS:victim.example, DNS:"', 'real.example']
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    name: 'CN=test',
    keys: pair,
    signingAlgorithm: algorithm,
    extensions: [new x509.SubjectAlternativeNameExtension(names.map((value) => ({ type: 'dns', value })))],
  })
  const inspection = inspectPair(certificate.toString('pem'), keyPem)
  assert.ok(inspection.ok)
  assert.deepEqual(inspection.facts.names, ['real.example'])
})

interface Issued {
  readonly ca: TestCa
  readonly leaf: CertificatePair
}

async function issued(t: Parameters<typeof TestCa.create>[0]): Promise<Issued> {
  const ca = await TestCa.create(t)
  return { ca, leaf: await ca.issue(['one.example', 'two.example']) }
}

test('an issued chain is installed only with our key, every name, and sound dates', async (t) => {
  const { ca, leaf } = await issued(t)
  const other = await issued(t)
  const sound = {
    certPem: leaf.certPem + ca.certPem,
    keyPem: leaf.keyPem,
    names: ['one.example', 'two.example'],
    nowMs: Date.now(),
  }
  assert.equal(inspectIssuedChain(sound).ok, true)

  const reason = (changes: Partial<typeof sound>): string =>
    reasonOf(inspectIssuedChain({ ...sound, ...changes }))
  assert.match(reason({ keyPem: other.leaf.keyPem }), /does not match/u)
  assert.match(reason({ names: ['one.example', 'three.example'] }), /lacks three\.example/u)
  assert.match(reason({ nowMs: Date.now() + 3 * DAY_MS }), /has expired/u)
  assert.match(reason({ nowMs: Date.now() - DAY_MS }), /not valid yet/u)
  assert.match(reason({ certPem: '<html>' }), /no PEM certificate/u)
})

test('the internal CA signs chains that pass the same inspection', async () => {
  const nowMs = Date.now()
  const authority = await createAuthority(nowMs)
  const { certPem, keyPem } = await createLeaf(authority, ['localhost', '*.test.example'], nowMs)
  const names = ['localhost', 'any.test.example']
  const inspection = inspectIssuedChain({ certPem, keyPem, names, nowMs })
  assert.ok(inspection.ok)
  assert.deepEqual(inspection.facts.names, ['localhost', '*.test.example'])
})
