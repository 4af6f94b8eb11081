// What can be wrong with certificates and keys in PEM. Pure: text in, verdict out.
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

/** What old versions of OpenSSL write: the same certificate, or one with settings for OpenSSL alone behind it. */
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
