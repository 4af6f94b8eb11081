// Everything that needs ASN.1: signs certificate requests, tls-alpn-01 certificates, the internal CA and its leaves, and
// computes the identifier of a certificate. Slow: run it through jobs.ts.
import { createHash, randomBytes } from 'node:crypto'
import * as x509 from '@peculiar/x509'
import { DAY_MS, MINUTE_MS } from '@reverse-proxy/shared/time-units'
import { generateKey, importSigningKey } from './keys.ts'

export interface Pair {
  readonly certPem: string
  readonly keyPem: string
}

const AUTHORITY_LIFETIME_MS = 3652 * DAY_MS
const LEAF_LIFETIME_MS = 7 * DAY_MS
/** Clients whose clock is a little behind ours. */
const BACKDATED_MS = 5 * MINUTE_MS

const ACME_IDENTIFIER = '1.3.6.1.5.5.7.1.31'
const SERVER_AUTH = '1.3.6.1.5.5.7.3.1'
const OCTET_STRING_TAG = 0x04

x509.cryptoProvider.set(crypto)

/** A PKCS#10 request for DNS names, base64url DER as RFC 8555 7.4 wants it. */
export async function createCsr(names: readonly string[], keyPem: string): Promise<string> {
  const { pair, algorithm } = await importSigningKey(keyPem)
  const request = await x509.Pkcs10CertificateRequestGenerator.create({
    keys: pair,
    signingAlgorithm: algorithm,
    extensions: [alternativeNames(names)],
  })
  return Buffer.from(request.rawData).toString('base64url')
}

/** RFC 8737 3: self-signed, one name, and a critical extension with the digest of the key authorization. */
export async function createChallengePair(serverName: string, keyAuthorization: string): Promise<Pair> {
  const keyPem = generateKey('ecdsa-p256')
  const { pair, algorithm } = await importSigningKey(keyPem)
  const digest = createHash('sha256').update(keyAuthorization).digest()
  const now = Date.now()
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: randomSerial(),
    // Not the name: a common name ends at 64 characters.
    name: 'CN=ACME challenge',
    notBefore: new Date(now - DAY_MS),
    notAfter: new Date(now + DAY_MS),
    keys: pair,
    signingAlgorithm: algorithm,
    extensions: [
      alternativeNames([serverName]),
      new x509.Extension(ACME_IDENTIFIER, true, Buffer.from([OCTET_STRING_TAG, digest.length, ...digest])),
      // Without digitalSignature OpenSSL refuses the key on TLS 1.2.
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
    ],
  })
  return { certPem: pemOf(certificate), keyPem }
}

/** The root of the internal CA: ten years, and nothing but leaves below it. */
export async function createAuthority(nowMs: number): Promise<Pair> {
  const keyPem = generateKey('ecdsa-p256')
  const { pair, algorithm } = await importSigningKey(keyPem)
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: randomSerial(),
    // Its own name for every machine, so that a browser can hold two of them.
    name: `CN=reverse-proxy internal CA ${randomBytes(3).toString('hex')}`,
    notBefore: new Date(nowMs - BACKDATED_MS),
    notAfter: new Date(nowMs + AUTHORITY_LIFETIME_MS),
    keys: pair,
    signingAlgorithm: algorithm,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(pair.publicKey),
    ],
  })
  return { certPem: pemOf(certificate), keyPem }
}

/** A site certificate of the internal CA, seven days; `certPem` ends with the root. */
export async function createLeaf(authority: Pair, names: readonly string[], nowMs: number): Promise<Pair> {
  const root = new x509.X509Certificate(authority.certPem)
  const { pair: rootPair, algorithm } = await importSigningKey(authority.keyPem)
  const keyPem = generateKey('ecdsa-p256')
  const { pair } = await importSigningKey(keyPem)
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: randomSerial(),
    issuer: root.subject,
    notBefore: new Date(nowMs - BACKDATED_MS),
    notAfter: new Date(nowMs + LEAF_LIFETIME_MS),
    publicKey: pair.publicKey,
    signingKey: rootPair.privateKey,
    signingAlgorithm: algorithm,
    extensions: [
      // RFC 5280 4.2.1.6: critical, since there is no subject.
      alternativeNames(names, true),
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([SERVER_AUTH]),
      await x509.AuthorityKeyIdentifierExtension.create(rootPair.publicKey),
      await x509.SubjectKeyIdentifierExtension.create(pair.publicKey),
    ],
  })
  return { certPem: pemOf(certificate) + pemOf(root), keyPem }
}

function alternativeNames(names: readonly string[], critical = false): x509.SubjectAlternativeNameExtension {
  return new x509.SubjectAlternativeNameExtension(
    names.map((value) => ({ type: 'dns', value })),
    critical,
  )
}

/** RFC 5280 4.1.2.2: positive and not zero, up to 20 bytes. */
function randomSerial(): string {
  const bytes = randomBytes(16)
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40
  return bytes.toString('hex')
}

function pemOf(certificate: x509.X509Certificate): string {
  return `${certificate.toString('pem').trim()}\n`
}

const SIGN_BIT = 0x80

/** RFC 9773 4.1: the identifier that a CA uses for a certificate. Of the first in `certPem`; undefined if it lacks an authority key identifier. @throws if it is not PEM */
export function certificateIdOf(certPem: string): string | undefined {
  const leaf = new x509.X509Certificate(certPem)
  const keyId = leaf.getExtension(x509.AuthorityKeyIdentifierExtension)?.keyId
  if (keyId === undefined) return undefined
  const authority = Buffer.from(keyId, 'hex').toString('base64url')
  return `${authority}.${integerContent(leaf.serialNumber).toString('base64url')}`
}

/** X.690 8.3: as short as can be, but with a zero byte in front where the first bit is set. */
function integerContent(hex: string): Buffer {
  const digits = hex.replace(/^(?:00)+(?=.)/u, '')
  const bytes = Buffer.from(digits.padStart(digits.length + (digits.length % 2), '0'), 'hex')
  return (bytes[0] ?? 0) >= SIGN_BIT ? Buffer.concat([Buffer.of(0), bytes]) : bytes
}
