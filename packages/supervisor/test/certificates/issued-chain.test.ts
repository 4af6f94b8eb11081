// Chains as CAs send them: whatever shape they come in, what was paid for is used, in the order that TLS wants.
import assert from 'node:assert/strict'
import type { webcrypto } from 'node:crypto'
import { before, test } from 'node:test'
import * as x509 from '@peculiar/x509'
import { inspectIssuedChain } from '../../src/certificates/crypto/issued-chain.ts'
import { generateKey, importSigningKey } from '../../src/certificates/crypto/keys.ts'

const DAY_MS = 86_400_000
const NOW_MS = Date.UTC(2026, 5, 1)
const NAMES = ['a.example']

interface Authority {
  readonly name: string
  readonly keys: webcrypto.CryptoKeyPair
}

let leafKeyPem: string
let leaf: string
let otherLeaf: string
let intermediate: string
let crossSigned: string
let root: string
let oldRootCross: string
let stranger: string

async function authority(name: string): Promise<Authority> {
  return { name, keys: (await importSigningKey(generateKey('ecdsa-p256'))).pair }
}

async function sign(
  subject: Authority,
  issuer: Authority,
  { isCa = true, notAfterMs = NOW_MS + 60 * DAY_MS } = {},
): Promise<string> {
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: `01${Buffer.from(crypto.getRandomValues(new Uint8Array(8))).toString('hex')}`,
    subject: `CN=${subject.name}`,
    issuer: `CN=${issuer.name}`,
    notBefore: new Date(NOW_MS - 90 * DAY_MS),
    notAfter: new Date(notAfterMs),
    publicKey: subject.keys.publicKey,
    signingKey: issuer.keys.privateKey,
    signingAlgorithm: { name: 'ECDSA', hash: 'SHA-256' },
    extensions: [
      new x509.BasicConstraintsExtension(isCa, undefined, true),
      ...(isCa
        ? []
        : [new x509.SubjectAlternativeNameExtension(NAMES.map((value) => ({ type: 'dns', value })))]),
    ],
  })
  return `${certificate.toString('pem').trim()}\n`
}

before(async () => {
  leafKeyPem = generateKey('ecdsa-p256')
  const site = { name: 'site', keys: (await importSigningKey(leafKeyPem)).pair }
  const [r1, oldRoot, i1] = [await authority('R1'), await authority('Old'), await authority('I1')]
  leaf = await sign(site, i1, { isCa: false })
  otherLeaf = await sign(await authority('site'), i1, { isCa: false })
  intermediate = await sign(i1, r1)
  crossSigned = await sign(i1, oldRoot)
  root = await sign(r1, r1)
  oldRootCross = await sign(r1, oldRoot, { notAfterMs: NOW_MS - DAY_MS })
  stranger = await sign(await authority('I1'), r1)
})

function inspect(certPem: string, knownPem?: string): ReturnType<typeof inspectIssuedChain> {
  return inspectIssuedChain({ certPem, keyPem: leafKeyPem, names: NAMES, knownPem, nowMs: NOW_MS })
}

test('an issued chain in any shape is served leaf first, then what certifies it, and no more', () => {
  const shapes: Readonly<Record<string, string>> = {
    'as it should be': leaf + intermediate,
    'the leaf twice': leaf + leaf + intermediate,
    'everything twice': leaf + intermediate + leaf + intermediate,
    'the issuer first': intermediate + leaf,
    'the issuer many times first': intermediate.repeat(60) + leaf,
    'with the root': leaf + intermediate + root,
    'the root before the intermediate': leaf + root + intermediate,
    'an expired cross-sign at the end': leaf + intermediate + oldRootCross,
    'an expired cross-sign in between': leaf + oldRootCross + intermediate,
    'a stranger of the same name': leaf + stranger + intermediate,
    'a certificate for another key': otherLeaf + leaf + intermediate,
    'a second way to the same issuer': leaf + intermediate + crossSigned,
    'one that cannot be parsed': `${leaf}-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n${intermediate}`,
  }
  for (const [shape, certPem] of Object.entries(shapes)) {
    const inspection = inspect(certPem)
    assert.ok(inspection.ok, shape)
    assert.equal(inspection.certPem, leaf + intermediate, shape)
    assert.equal(inspection.warning, undefined, shape)
  }
})

test('an issued leaf alone is completed from the chain in service, or served alone with a warning', async () => {
  const completed = inspect(leaf, otherLeaf + intermediate)
  assert.ok(completed.ok)
  assert.equal(completed.certPem, leaf + intermediate)
  assert.equal(completed.warning, undefined)
  for (const [certPem, knownPem] of [
    [leaf, undefined],
    [leaf, otherLeaf + stranger],
    [leaf + stranger, undefined],
  ] as const) {
    const alone = inspect(certPem, knownPem)
    assert.ok(alone.ok)
    assert.equal(alone.certPem, leaf)
    assert.match(alone.warning ?? '', /no valid certificate of the issuer \(I1\)/u)
  }
})

test('an issued leaf below a root stands alone, without a warning', async () => {
  const site = { name: 'site', keys: (await importSigningKey(leafKeyPem)).pair }
  const r2 = await authority('R2')
  const direct = await sign(site, r2, { isCa: false })
  const inspection = inspect(direct + (await sign(r2, r2)))
  assert.ok(inspection.ok)
  assert.equal(inspection.certPem, direct)
  assert.equal(inspection.warning, undefined)
})
