// Whether what is ordered can be kept, and whether the CA has been asked too often of late. Pure.
import { isoTime } from '@reverse-proxy/shared/clock'
import type { AcmeSettings } from '@reverse-proxy/shared/config/config'
import { DAY_MS } from '@reverse-proxy/shared/time-units'
import { missingNames } from '../../certificates/acme/coverage.ts'
import { concerns, type FailureRecord } from '../../certificates/renewal/failure-record.ts'
import type { Inspection } from '../../certificates/crypto/inspect.ts'
import { marginAtMs } from '../../certificates/renewal/schedule.ts'
import type { Finding } from './finding.ts'
import { judgeOf } from './finding.ts'
import type { DirectoryState } from './probes.ts'

export function judgeDirectory(check: 'cache' | 'state', path: string, state: DirectoryState): Finding {
  const judge = judgeOf(check, path)
  if (state.fault !== undefined) return judge.fail(state.fault.message, state.fault.hint)
  if (!state.exists) return judge.ok(`will be made in ${state.path}`)
  if (check === 'cache' && state.foreign !== undefined) {
    return judge.fail(
      `holds ${state.foreign}, so it is no certificate cache`,
      'choose a directory for it alone: a start with this one is refused',
    )
  }
  if (state.exposed.length > 0) {
    const [first = ''] = state.exposed
    const more = state.exposed.length === 1 ? '' : ` and ${state.exposed.length - 1} more`
    return judge.warn(
      `others can read ${first}${more}: the keys in it may be known`,
      `chmod -R go= ${path}; and if others had a look, renew`,
    )
  }
  return judge.ok('can be written, and is for its owner alone')
}

/** A start with nothing usable cached, inside the waiting time of an attempt that reached the CA, fails. */
export function judgeMemory(
  { directoryUrl, domains, cacheDir }: AcmeSettings,
  failure: FailureRecord | undefined,
  isCached: boolean,
  nowMs: number,
): Finding {
  const judge = judgeOf('last order', cacheDir)
  if (failure === undefined || !concerns(failure, { directoryUrl, names: domains })) {
    return judge.ok('no failure is recorded')
  }
  const { nextAttemptMs, reason, reachedCa } = failure
  if (nowMs >= nextAttemptMs) return judge.ok('failed, and the next attempt is due')
  const until = isoTime(nextAttemptMs)
  const said = `failed: ${reason}; the next is due at ${until}`
  return reachedCa && !isCached
    ? judge.fail(said, 'mend the cause, and start after that time: a start before it is refused')
    : judge.warn(said, 'mend the cause; it is tried again by itself')
}

/** One that somebody else looks after. */
export function judgeManual(certPath: string, inspection: Inspection, nowMs: number): Finding {
  const judge = judgeOf('certificate', certPath)
  if (!inspection.ok) return judge.fail(inspection.reason, 'put a matching pair there, PEM, leaf first')
  const { facts } = inspection
  const until = isoTime(facts.notAfterMs)
  if (nowMs >= facts.notAfterMs) return judge.fail(`expired at ${until}`, 'have it renewed, then reload')
  if (nowMs < facts.notBeforeMs) {
    const from = isoTime(facts.notBeforeMs)
    return judge.fail(`is not valid before ${from}`, 'check the clock of this machine')
  }
  const days = Math.floor((facts.notAfterMs - nowMs) / DAY_MS)
  if (nowMs >= marginAtMs(facts))
    return judge.warn(`expires in ${days} days, at ${until}`, 'have it renewed, then reload')
  return judge.ok(`valid for ${days} days: ${facts.names.join(', ')}`)
}

/** One that an earlier run has ordered, if there is one: whatever is wrong with it, the next run orders another. */
export function judgeCached(
  { cacheDir, domains }: Pick<AcmeSettings, 'cacheDir' | 'domains'>,
  inspection: Inspection | undefined,
  nowMs: number,
): Finding {
  const judge = judgeOf('certificate', cacheDir)
  if (inspection === undefined) return judge.ok('none yet: it is ordered at the start')
  if (!inspection.ok)
    return judge.warn(inspection.reason, 'it is put aside at the start, and another ordered')
  const { notAfterMs, names } = inspection.facts
  const missing = missingNames({ domains }, inspection)
  if (missing.length === domains.length) {
    const hint = 'another is ordered at the start, which fails if that does'
    return judge.warn(`has none of the names: it is for ${names.join(', ')}`, hint)
  }
  if (nowMs >= notAfterMs) {
    const until = isoTime(notAfterMs)
    return judge.warn(`expired at ${until}`, 'another is ordered at the start, which fails if that does')
  }
  const days = Math.floor((notAfterMs - nowMs) / DAY_MS)
  const valid = `valid for ${days} days: ${names.join(', ')}`
  return missing.length === 0
    ? judge.ok(valid)
    : judge.warn(`${valid}; it lacks ${missing.join(', ')}`, 'they are ordered in the background of a start')
}

/** Whether a start has something to serve before it has ordered anything. */
export function isUsableCache(
  { domains }: Pick<AcmeSettings, 'domains'>,
  inspection: Inspection | undefined,
  nowMs: number,
): boolean {
  if (inspection?.ok !== true || nowMs >= inspection.facts.notAfterMs) return false
  return missingNames({ domains }, inspection).length < domains.length
}
