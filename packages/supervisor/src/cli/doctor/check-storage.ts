// Checks that certificates can be stored, that the stored ones can be used, and that no backoff delays the next order.
// Pure.
import { isoTime } from '@reverse-proxy/shared/clock'
import type { AcmeSettings } from '@reverse-proxy/shared/config/config'
import { DAY_MS } from '@reverse-proxy/shared/time-units'
import { missingNames } from '../../certificates/acme/coverage.ts'
import { concerns, type FailureRecord } from '../../certificates/renewal/failure-record.ts'
import type { Inspection } from '../../certificates/crypto/inspect.ts'
import { marginAtMs } from '../../certificates/renewal/schedule.ts'
import type { Finding } from './finding.ts'
import { findingsOf } from './finding.ts'
import type { DirectoryState } from './probes.ts'

export function checkDirectory(check: 'cache' | 'state', path: string, state: DirectoryState): Finding {
  const finding = findingsOf(check, path)
  if (state.fault !== undefined) return finding.fail(state.fault.message, state.fault.hint)
  if (!state.exists) return finding.ok(`will be created in ${state.path}`)
  if (check === 'cache' && state.foreign !== undefined) {
    return finding.fail(
      `contains ${state.foreign}, so it is not a certificate cache`,
      'choose a directory for the cache alone: a start with this one fails',
    )
  }
  if (state.exposed.length > 0) {
    const [first = ''] = state.exposed
    const more = state.exposed.length === 1 ? '' : ` and ${state.exposed.length - 1} more`
    return finding.warn(
      `others can read ${first}${more}: the keys in it may be compromised`,
      `chmod -R go= ${path}; renew the certificates if others may have read the keys`,
    )
  }
  return finding.ok('is writable and private')
}

/** A start without a usable certificate fails during the backoff after an attempt that reached the CA. */
export function checkLastOrder(
  { directoryUrl, domains, cacheDir }: AcmeSettings,
  failure: FailureRecord | undefined,
  isCached: boolean,
  nowMs: number,
): Finding {
  const finding = findingsOf('last order', cacheDir)
  if (failure === undefined || !concerns(failure, { directoryUrl, names: domains })) {
    return finding.ok('no failure is recorded')
  }
  const { nextAttemptMs, reason, reachedCa } = failure
  if (nowMs >= nextAttemptMs) return finding.ok('failed, and the next attempt is due')
  const until = isoTime(nextAttemptMs)
  const message = `failed: ${reason}; the next is due at ${until}`
  return reachedCa && !isCached
    ? finding.fail(message, 'fix the cause and start after that time: an earlier start fails')
    : finding.warn(message, 'fix the cause; the order is retried automatically')
}

/** A certificate that is renewed outside of the proxy. */
export function checkManual(certPath: string, inspection: Inspection, nowMs: number): Finding {
  const finding = findingsOf('certificate', certPath)
  if (!inspection.ok)
    return finding.fail(inspection.reason, 'provide a matching pair as PEM, leaf certificate first')
  const { facts } = inspection
  const until = isoTime(facts.notAfterMs)
  if (nowMs >= facts.notAfterMs) return finding.fail(`expired at ${until}`, 'renew it, then reload')
  if (nowMs < facts.notBeforeMs) {
    const from = isoTime(facts.notBeforeMs)
    return finding.fail(`is not valid before ${from}`, 'check the clock of this machine')
  }
  const days = Math.floor((facts.notAfterMs - nowMs) / DAY_MS)
  if (nowMs >= marginAtMs(facts))
    return finding.warn(`expires in ${days} days, at ${until}`, 'renew it, then reload')
  return finding.ok(`valid for ${days} days: ${facts.names.join(', ')}`)
}

/** The certificate that an earlier run ordered, if any. If it is faulty, the next run orders another. */
export function checkCached(
  { cacheDir, domains }: Pick<AcmeSettings, 'cacheDir' | 'domains'>,
  inspection: Inspection | undefined,
  nowMs: number,
): Finding {
  const finding = findingsOf('certificate', cacheDir)
  if (inspection === undefined) return finding.ok('none yet: it is ordered at the start')
  if (!inspection.ok) return finding.warn(inspection.reason, 'a start quarantines it and orders another')
  const { notAfterMs, names } = inspection.facts
  const missing = missingNames({ domains }, inspection)
  if (missing.length === domains.length) {
    const hint = 'a start orders another, and fails if the order fails'
    return finding.warn(`contains none of the configured names: it is for ${names.join(', ')}`, hint)
  }
  if (nowMs >= notAfterMs) {
    const until = isoTime(notAfterMs)
    return finding.warn(`expired at ${until}`, 'a start orders another, and fails if the order fails')
  }
  const days = Math.floor((notAfterMs - nowMs) / DAY_MS)
  const valid = `valid for ${days} days: ${names.join(', ')}`
  return missing.length === 0
    ? finding.ok(valid)
    : finding.warn(
        `${valid}; it lacks ${missing.join(', ')}`,
        'they are ordered in the background after a start',
      )
}

/** True if a start can serve the cached certificate before it orders another. */
export function isUsableCache(
  { domains }: Pick<AcmeSettings, 'domains'>,
  inspection: Inspection | undefined,
  nowMs: number,
): boolean {
  if (inspection?.ok !== true || nowMs >= inspection.facts.notAfterMs) return false
  return missingNames({ domains }, inspection).length < domains.length
}
