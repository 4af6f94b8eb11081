// Which certificates serve a listener's names together: the one that is renewed, and those from before it that
// still serve what it lacks, so that an order without a name takes nothing from that name. Pure.
import type { AcmeSettings } from '@reverse-proxy/shared/config/config'
import { nameCovers } from '@reverse-proxy/shared/config/host-name'
import type { PushedCertificate } from '@reverse-proxy/shared/ipc/messages'
import type { CertificateFacts } from '../crypto/inspect.ts'
import { toPushed } from '../certificate.ts'
import type { StoredCertificate } from '../certificate.ts'

interface Dated {
  readonly facts: CertificateFacts
}

/** The configured names that none of `certificates` has. */
export function missingNames({ domains }: Pick<AcmeSettings, 'domains'>, ...certificates: Dated[]): string[] {
  return domains.filter((name) => !certificates.some((certificate) => covers(certificate, name)))
}

/** The unexpired certificates of `others`, in order of preference, that add a name of `domains`. */
export function olderInService(
  domains: readonly string[],
  certificate: StoredCertificate,
  others: readonly StoredCertificate[],
  nowMs: number,
): StoredCertificate[] {
  const older: StoredCertificate[] = []
  for (const other of others) {
    if (other.facts.notAfterMs <= nowMs) continue
    const missing = missingNames({ domains }, certificate, ...older)
    if (missing.some((name) => covers(other, name))) older.push(other)
  }
  return older
}

/**
 * Whether `candidate` may take the place of `present`: it is newer by the CA's dates, as those who share a cache
 * need not have the same clock, and has every name of `domains` that `present` still serves.
 */
export function mayReplace(
  candidate: Dated,
  { domains, present, nowMs }: { domains: readonly string[]; present: Dated; nowMs: number },
): boolean {
  if (candidate.facts.serial === present.facts.serial) return false
  if (candidate.facts.notBeforeMs < present.facts.notBeforeMs) return false
  if (present.facts.notAfterMs <= nowMs) return true
  return !missingNames({ domains }, candidate).some((name) => covers(present, name))
}

/**
 * Selects the certificate to renew from now on: the first of the cached ones, or the first of the served ones if that
 * is newer, from the right CA and has at least the same names.
 */
export function chooseServed(
  { domains, directoryUrl }: Pick<AcmeSettings, 'domains' | 'directoryUrl'>,
  { cached, inherited, nowMs }: Choice,
): StoredCertificate | undefined {
  const present = cached.find(({ facts }) => facts.notAfterMs > nowMs) ?? cached[0]
  const heir = inherited.find((one) => missingNames({ domains }, one).length < domains.length)
  if (present === undefined || heir === undefined) return present ?? heir
  const isCached = cached.some(({ facts }) => facts.serial === heir.facts.serial)
  const isOfRightCa = heir.origin === directoryUrl || present.origin !== directoryUrl
  const isBetter = !isCached && isOfRightCa && heir.facts.notAfterMs > nowMs
  return isBetter && mayReplace(heir, { domains, present, nowMs }) ? heir : present
}

interface Choice {
  readonly cached: readonly StoredCertificate[]
  readonly inherited: readonly StoredCertificate[]
  readonly nowMs: number
}

/**
 * Limits each certificate to names not covered by the ones before it; otherwise workers would prefer an older
 * certificate that expires later.
 */
export function toPushedTogether(
  domains: readonly string[],
  certificates: readonly StoredCertificate[],
): PushedCertificate[] {
  return certificates.map((certificate, index) => {
    const pushed = toPushed(certificate)
    if (index === 0) return pushed
    const missing = missingNames({ domains }, ...certificates.slice(0, index))
    const names = pushed.names.filter((covering) => missing.some((name) => nameCovers(covering, name)))
    return { ...pushed, names }
  })
}

function covers({ facts }: Dated, name: string): boolean {
  return facts.names.some((covering) => nameCovers(covering, name))
}
