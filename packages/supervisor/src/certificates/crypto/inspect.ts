// Looks at certificates before they are trusted with traffic: parses a chain and compares it with its
// key. Pure but for the parsing, which is slow: run it through jobs.ts.
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { createSecureContext } from 'node:tls'
import { messageOf } from '@reverse-proxy/shared/error-text'
import { TLS_POLICY } from '@reverse-proxy/shared/tls-policy'

/** A certificate as the rest of the program sees it. */
export interface CertificateFacts {
  /** DNS names and IP addresses of the subjectAltName, lower case. */
  readonly names: readonly string[]
  /** Upper-case hex. */
  readonly serial: string
  /** Common name of the issuer, or its whole name where it has none. */
  readonly issuer: string
  readonly notBeforeMs: number
  readonly notAfterMs: number
}

export type Validity = Pick<CertificateFacts, 'notBeforeMs' | 'notAfterMs'>

/** `certPem` is the chain alone, leaf first, without whatever else stood in the file. */
export type Inspection =
  | { readonly ok: true; readonly facts: CertificateFacts; readonly certPem: string }
  | {
      readonly ok: false
      readonly reason: string
      /** The pair is valid, but our TLS policy does not accept it. */
      readonly isTooWeak: boolean
    }

const PEM_CERTIFICATE = /-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----/gu

/** The PEM blocks of `pem` that are certificates, in its order. */
export function certificateBlocks(pem: string): readonly string[] {
  return pem.match(PEM_CERTIFICATE) ?? []
}

/** Whether a chain and a key belong together; says nothing about dates and trust. */
export function inspectPair(certPem: string, keyPem: string): Inspection {
  const blocks = certificateBlocks(certPem)
  if (blocks.length === 0) return unusable('the certificate file holds no PEM certificate')
  let chain: X509Certificate[]
  try {
    chain = blocks.map((block) => new X509Certificate(block))
  } catch (error) {
    return unusable(`a certificate cannot be parsed: ${messageOf(error)}`)
  }
  const [leaf, ...issuers] = chain
  if (leaf === undefined) return unusable('the certificate file holds no PEM certificate')
  try {
    const key = createPrivateKey(keyPem)
    if (!leaf.checkPrivateKey(key)) {
      return issuers.some((issuer) => issuer.checkPrivateKey(key))
        ? unusable('the key belongs to a later certificate of the file: the site certificate must come first')
        : unusable('the key does not match the certificate')
    }
  } catch (error) {
    return unusable(`the key cannot be read: ${messageOf(error)}`)
  }
  const facts: CertificateFacts = {
    names: parseAlternativeNames(leaf.subjectAltName ?? ''),
    serial: leaf.serialNumber.toUpperCase(),
    issuer: issuerOf(leaf),
    notBeforeMs: leaf.validFromDate.getTime(),
    notAfterMs: leaf.validToDate.getTime(),
  }
  const problem = tlsProblem(blocks, keyPem)
  if (problem !== undefined) return { ok: false, reason: `TLS cannot use it: ${problem}`, isTooWeak: true }
  return { ok: true, facts, certPem: `${blocks.join('\n')}\n` }
}

/** Weak keys and signatures, which parse well and which no worker's TLS takes. */
function tlsProblem(chain: readonly string[], keyPem: string): string | undefined {
  try {
    createSecureContext({ ...TLS_POLICY, cert: chain.join('\n'), key: keyPem })
    return undefined
  } catch (error) {
    return messageOf(error)
  }
}

/** Common name of the CA at the end of a chain: what preferred chains are chosen by. */
export function rootNameOf(certPem: string): string | undefined {
  const last = certPem.match(PEM_CERTIFICATE)?.at(-1)
  return last === undefined ? undefined : issuerOf(new X509Certificate(last))
}

/** The names of the first certificate of a file. @throws Error for one that is none */
export function namesOfLeaf(pem: string): readonly string[] {
  const { subjectAltName } = new X509Certificate(certificateBlocks(pem)[0] ?? pem)
  return parseAlternativeNames(subjectAltName ?? '')
}

/** Reads Node's text form of a subjectAltName: `DNS:a.example, IP Address:192.0.2.1`. */
function parseAlternativeNames(text: string): string[] {
  const names: string[] = []
  // Node quotes a name that holds a comma or anything else unusual: such a name is none of ours, but
  // what stands inside its quotes must not be taken for a further entry.
  for (const [, type, value] of text.matchAll(/([A-Za-z ]+):("(?:[^"\\]|\\.)*"|[^,]*)(?:, |$)/gu)) {
    if (value === undefined || value.startsWith('"')) continue
    if (type === 'DNS' || type === 'IP Address') names.push(value.toLowerCase())
  }
  return [...new Set(names)]
}

function issuerOf(certificate: X509Certificate): string {
  return /^CN=(.+)$/mu.exec(certificate.issuer)?.[1] ?? certificate.issuer.replaceAll('\n', ', ')
}

export function unusable(reason: string): Inspection {
  return { ok: false, reason, isTooWeak: false }
}
