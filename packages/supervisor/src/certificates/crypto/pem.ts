// Checks certificates and keys in PEM. Pure: text in, verdict out.
import type { KeyObject } from 'node:crypto'
import { createPrivateKey, X509Certificate } from 'node:crypto'
import type { IssueCode } from '@reverse-proxy/shared/config/issues'

export interface PemFault {
  readonly code: Extract<IssueCode, 'CERTIFICATE_INVALID' | 'KEY_INVALID'>
  /** Continues a sentence that begins with the path of the file. */
  readonly message: string
  readonly hint: string
}

const BLOCK = /-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----/gu

/** Labels of old OpenSSL versions: the same certificate, or one followed by settings for OpenSSL alone. */
const OTHER_LABEL = /^-----BEGIN (TRUSTED CERTIFICATE|X509 CERTIFICATE)-----/mu
const RELABEL_HINT = 'write it as a plain certificate: openssl x509 -in old.pem -out new.pem'

/** Undefined when `pem` holds one certificate or more, each of which can be read. */
export function certificateFault(pem: string): PemFault | undefined {
  const hint = 'it begins with -----BEGIN CERTIFICATE-----; a certificate from a CA is usually fullchain.pem'
  const [, label] = OTHER_LABEL.exec(pem) ?? []
  if (label !== undefined) {
    const message = `holds a certificate under the label ${label}, which is not read`
    return { code: 'CERTIFICATE_INVALID', message, hint: RELABEL_HINT }
  }
  const blocks = pem.match(BLOCK) ?? []
  if (blocks.length === 0) return { code: 'CERTIFICATE_INVALID', message: 'holds no PEM certificate', hint }
  try {
    for (const block of blocks) void new X509Certificate(block)
    return undefined
  } catch {
    return { code: 'CERTIFICATE_INVALID', message: 'holds a certificate that cannot be read', hint }
  }
}

export interface PemDoubt {
  /** Continues a sentence that begins with the path of the file. */
  readonly message: string
  readonly hint: string
}

const SERVER_AUTH = '1.3.6.1.5.5.7.3.1'
const ANY_PURPOSE = '2.5.29.37.0'

/** Faults that clients will refuse in a chain that can be served; `pem` has no certificateFault. */
export function certificateDoubts(pem: string, nowMs: number): readonly PemDoubt[] {
  const chain = (pem.match(BLOCK) ?? []).map((block) => new X509Certificate(block))
  const [leaf] = chain
  if (leaf === undefined) return []
  const doubts: PemDoubt[] = []
  const renew = 'put the new certificate there and reload'
  const { validFromDate: from, validToDate: until, keyUsage: purposes } = leaf
  if (until.getTime() <= nowMs) doubts.push({ message: `expired at ${until.toISOString()}`, hint: renew })
  if (from.getTime() > nowMs)
    doubts.push({
      message: `is not valid before ${from.toISOString()}`,
      hint: "is this machine's clock right (NTP)?",
    })
  // Undefined for a certificate that may be used for anything.
  if (purposes !== undefined && !purposes.some((one) => one === SERVER_AUTH || one === ANY_PURPOSE))
    doubts.push({
      message: 'is not for servers: its extended key usage lacks serverAuth',
      hint: 'have it issued again for a server',
    })
  const broken = chain.findIndex((one, index) => index > 0 && chain[index - 1]?.checkIssued(one) === false)
  if (broken > 0)
    doubts.push({
      message: `has a broken chain: certificate ${broken} is not issued by certificate ${broken + 1}`,
      hint: 'the certificate of the site is first, then the one of its issuer, and so on (fullchain.pem)',
    })
  return doubts
}

/** Undefined when `pem` holds a private key that needs no passphrase. */
export function keyFault(pem: string): PemFault | undefined {
  if (/-----BEGIN ENCRYPTED|Proc-Type: 4,ENCRYPTED/u.test(pem)) {
    const hint = 'write it without: openssl pkey -in key.pem -out plain.pem'
    return { code: 'KEY_INVALID', message: 'holds a key with a passphrase', hint }
  }
  try {
    return unusableKey(createPrivateKey(pem))
  } catch {
    const hint = 'it begins with -----BEGIN PRIVATE KEY----- (or EC PRIVATE KEY, RSA PRIVATE KEY)'
    return { code: 'KEY_INVALID', message: 'holds no private key that can be read', hint }
  }
}

/** A UTF-8 byte order mark, which some editors write and OpenSSL passes over, read as UTF-8 or as Latin-1. */
const BYTE_ORDER_MARK = /^(?:\u{feff}|\u{ef}\u{bb}\u{bf})/u

export function withoutByteOrderMark(pem: string): string {
  return pem.replace(BYTE_ORDER_MARK, '')
}

const CURVES: readonly (string | undefined)[] = ['prime256v1', 'secp384r1', 'secp521r1']

/** Keys that are read well, and that no client agrees on a signature with: RFC 8446 4.2.3. */
function unusableKey({ asymmetricKeyType: type, asymmetricKeyDetails }: KeyObject): PemFault | undefined {
  const curve = asymmetricKeyDetails?.namedCurve
  if (type === 'ec' ? CURVES.includes(curve) : KEY_TYPES.includes(type)) return undefined
  return {
    code: 'KEY_INVALID',
    message: `holds a key (${type === 'ec' ? `curve ${curve}` : type}) that no TLS handshake can use`,
    hint: 'have the certificate issued again for an ECDSA key on P-256 or P-384, or an RSA key of 2048 bits or more',
  }
}

const KEY_TYPES: readonly (string | undefined)[] = ['rsa', 'rsa-pss', 'ed25519', 'ed448']
