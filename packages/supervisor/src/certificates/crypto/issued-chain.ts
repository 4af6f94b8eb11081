// Checks a certificate that a CA has just issued and puts its chain in order: the leaf with our key first, then its
// issuers. Strict about key, names and dates of the leaf; repairs the order of the rest, since rejecting the chain
// would cost another order. Slow: run it through jobs.ts.
import type { KeyObject } from 'node:crypto'
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { nameCovers } from '@reverse-proxy/shared/config/host-name'
import { messageOf } from '@reverse-proxy/shared/error-text'
import { HOUR_MS } from '@reverse-proxy/shared/time-units'
import type { Inspection, Validity } from './inspect.ts'
import { certificateBlocks, inspectPair, unusable } from './inspect.ts'

/** A CA's clock may be ahead of ours by this much. */
const CLOCK_TOLERANCE_MS = HOUR_MS

/** CAs send two to four; each costs every handshake. */
const LONGEST_CHAIN = 10
/** Certificates of one response that are looked at. */
const MOST_CERTIFICATES = 50

export interface IssuedChain {
  /** As the CA sent it: in any order, with duplicates, roots and unrelated certificates. */
  readonly certPem: string
  /** The key we made for it. */
  readonly keyPem: string
  /** The names of the order, lower case. */
  readonly names: readonly string[]
  /** The chain in service, PEM: its issuers complete one that lacks them. */
  readonly knownPem?: string | undefined
  readonly nowMs: number
  /** The CA's time; undefined if it does not tell. */
  readonly caNowMs?: number | undefined
}

/** `warning`: why some clients may reject a chain that is used nevertheless. */
export type IssuedInspection =
  | (Extract<Inspection, { ok: true }> & { readonly warning?: string })
  | Extract<Inspection, { ok: false }>

/** Whether what a CA has just issued may be installed: the leaf has our key, every name and sensible dates. */
export function inspectIssuedChain({
  certPem,
  keyPem,
  names,
  knownPem,
  nowMs,
  caNowMs,
}: IssuedChain): IssuedInspection {
  const sent = parseAll(certPem)
  if (typeof sent === 'string') return unusable(sent)
  const leaf = leafFor(sent, createPrivateKey(keyPem))
  if (leaf === undefined) return unusable('the key does not match the certificate')

  const known = knownPem === undefined ? [] : parseAll(knownPem)
  const pool = typeof known === 'string' ? sent : [...sent, ...known]
  const path = pathOf(leaf, pool, nowMs)
  const inspection = inspectPair(path.map(String).join('\n'), keyPem)
  if (!inspection.ok) return inspection
  const { facts } = inspection
  const missing = names.filter((name) => !facts.names.some((covering) => nameCovers(covering, name)))
  if (missing.length > 0) return unusable(`the issued certificate lacks ${missing.join(', ')}`)
  const untimely = reasonAgainstDates(facts, nowMs, caNowMs)
  if (untimely !== undefined) return unusable(untimely)
  // A root that signs leaves by itself is in the clients' stores.
  if (path.length > 1 || isSignedByRoot(leaf, pool)) return inspection
  return {
    ...inspection,
    warning: `the CA sent no valid certificate of the issuer (${facts.issuer}): some clients will not trust this one`,
  }
}

/**
 * Why a new certificate is rejected for its dates; undefined if it is not. One that has not begun by our clock has by
 * the CA's if ours is slow: refusing it would only cost another order.
 */
export function reasonAgainstDates(
  { notBeforeMs, notAfterMs }: Validity,
  nowMs: number,
  caNowMs = nowMs,
): string | undefined {
  if (notAfterMs <= nowMs) return 'the issued certificate has expired'
  const latestMs = Math.max(nowMs, caNowMs) + CLOCK_TOLERANCE_MS
  return notBeforeMs > latestMs ? 'the issued certificate is not valid yet' : undefined
}

/** Those that can be parsed, without duplicates; or why there are none. */
function parseAll(pem: string): readonly X509Certificate[] | string {
  const blocks = [...new Set(certificateBlocks(pem))]
  if (blocks.length === 0) return 'the certificate file holds no PEM certificate'
  const byFingerprint = new Map<string, X509Certificate>()
  let fault: string | undefined
  for (const block of blocks.slice(0, MOST_CERTIFICATES)) {
    try {
      const certificate = new X509Certificate(block)
      if (!byFingerprint.has(certificate.fingerprint256))
        byFingerprint.set(certificate.fingerprint256, certificate)
    } catch (error) {
      fault = `a certificate cannot be parsed: ${messageOf(error)}`
    }
  }
  return byFingerprint.size === 0 ? (fault ?? 'no certificate can be parsed') : [...byFingerprint.values()]
}

/** The one with our key; of several, the one that is valid longest. */
function leafFor(certificates: readonly X509Certificate[], key: KeyObject): X509Certificate | undefined {
  return certificates
    .filter((certificate) => certificate.checkPrivateKey(key))
    .toSorted((a, b) => b.validToDate.getTime() - a.validToDate.getTime())[0]
}

/** The leaf and its issuers, without the root and without what has expired; what the CA sent first is preferred. */
function pathOf(leaf: X509Certificate, pool: readonly X509Certificate[], nowMs: number): X509Certificate[] {
  const path = [leaf]
  const usable = pool.filter((one) => one.ca && !isSelfSigned(one) && one.validToDate.getTime() > nowMs)
  while (path.length < LONGEST_CHAIN) {
    const subject = path.at(-1)
    const issuer = usable.find(
      (one) => !path.includes(one) && subject !== undefined && isIssuedBy(subject, one),
    )
    if (issuer === undefined) break
    path.push(issuer)
  }
  return path
}

function isSignedByRoot(leaf: X509Certificate, pool: readonly X509Certificate[]): boolean {
  return pool.some((one) => one.ca && isSelfSigned(one) && isIssuedBy(leaf, one))
}

function isSelfSigned(certificate: X509Certificate): boolean {
  return certificate.subject === certificate.issuer && isIssuedBy(certificate, certificate)
}

function isIssuedBy(certificate: X509Certificate, issuer: X509Certificate): boolean {
  return certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey)
}
