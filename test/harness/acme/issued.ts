// Certificates that clients have fetched through the proxy, by the name that RFC 9773 gives them.
import { createHash } from 'node:crypto'
import * as x509 from '@peculiar/x509'

const SIGN_BIT = 0x80

export interface IssuedCertificate {
  /** RFC 9773 4.1: authority key identifier and serial. */
  readonly id: string
  /** Hex, upper case, as Node shows it. */
  readonly serial: string
  readonly names: readonly string[]
  readonly notBeforeMs: number
  readonly notAfterMs: number
  /** Digest of the public key: tells a new key from one used again. */
  readonly keyDigest: string
  readonly accountUrl: string | undefined
  readonly chainPem: string
  /** Whether an order that `replaces` it has been finalized. */
  replaced: boolean
}

export class IssuedCertificates {
  readonly #byId = new Map<string, IssuedCertificate>()

  /** In the order they were first fetched. */
  get all(): readonly IssuedCertificate[] {
    return [...this.#byId.values()]
  }

  find(id: string): IssuedCertificate | undefined {
    return this.#byId.get(id)
  }

  /** What is no certificate at all, as hostile CAs send it, is passed over. */
  note(chainPem: string, accountUrl: string | undefined): void {
    if (certificatesOf(chainPem).length === 0) return
    const certificate = parseIssued(chainPem, accountUrl)
    if (!this.#byId.has(certificate.id)) this.#byId.set(certificate.id, certificate)
  }
}

function parseIssued(chainPem: string, accountUrl: string | undefined): IssuedCertificate {
  const leaf = leafOf(chainPem)
  const serial = Buffer.from(
    leaf.serialNumber.padStart(2 * Math.ceil(leaf.serialNumber.length / 2), '0'),
    'hex',
  )
  return {
    id: `${authorityKeyOf(leaf).toString('base64url')}.${integerContent(serial).toString('base64url')}`,
    serial: integerBytes(serial).toString('hex').toUpperCase(),
    names: namesOf(leaf),
    notBeforeMs: leaf.notBefore.getTime(),
    notAfterMs: leaf.notAfter.getTime(),
    keyDigest: createHash('sha256').update(Buffer.from(leaf.publicKey.rawData)).digest('hex'),
    accountUrl,
    chainPem,
    replaced: false,
  }
}

/** The first certificate of a chain that is no CA: hostile chains may begin with another. */
export function leafOf(chainPem: string): x509.X509Certificate {
  const leaf = certificatesOf(chainPem).find(
    (certificate) => certificate.getExtension(x509.BasicConstraintsExtension)?.ca !== true,
  )
  if (leaf === undefined) throw new Error('the chain has no leaf')
  return leaf
}

export function certificatesOf(chainPem: string): x509.X509Certificate[] {
  return x509.PemConverter.decode(chainPem).map((der) => new x509.X509Certificate(der))
}

export function namesOf(certificate: x509.X509Certificate): string[] {
  return (certificate.getExtension(x509.SubjectAlternativeNameExtension)?.names.items ?? []).map(
    ({ value }) => value,
  )
}

function authorityKeyOf(certificate: x509.X509Certificate): Buffer {
  const keyId = certificate.getExtension(x509.AuthorityKeyIdentifierExtension)?.keyId
  if (keyId === undefined) throw new Error('the certificate does not say who signed it')
  return Buffer.from(keyId, 'hex')
}

// X.690 8.3: an INTEGER is signed and as short as can be, so that a serial may begin with a zero byte.
function integerContent(serial: Buffer): Buffer {
  const bytes = integerBytes(serial)
  return (bytes[0] ?? 0) >= SIGN_BIT ? Buffer.concat([Buffer.of(0), bytes]) : bytes
}

function integerBytes(serial: Buffer): Buffer {
  const first = serial.findIndex((byte) => byte !== 0)
  return first === -1 ? Buffer.of(0) : serial.subarray(first)
}
