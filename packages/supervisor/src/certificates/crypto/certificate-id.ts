// The name under which a CA knows a certificate that it has issued: RFC 9773 4.1.
import * as x509 from '@peculiar/x509'

const SIGN_BIT = 0x80

/** ID of the first certificate; undefined if it lacks an authority key identifier. @throws if it is not PEM */
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
