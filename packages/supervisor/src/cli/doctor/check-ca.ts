// Whether the CA can be reached, offers what is configured, and has about the same time as we. Pure.
import type { AcmeSettings } from '@reverse-proxy/shared/config/config'
import { MINUTE_MS } from '@reverse-proxy/shared/time-units'
import type { Finding } from './finding.ts'
import { judgeOf } from './finding.ts'
import type { CaDirectory } from './probes.ts'

/** By a slower clock a new certificate is not valid yet: CAs date them back by an hour or less. */
const WRONG_CLOCK_MS = 60 * MINUTE_MS
const SLOPPY_CLOCK_MS = 2 * MINUTE_MS

export function judgeCa(settings: AcmeSettings, { meta }: CaDirectory): Finding {
  const judge = judgeOf('ca', settings.directoryUrl)
  if (meta['externalAccountRequired'] === true && settings.eab === undefined) {
    return judge.fail(
      'wants accounts to be bound to one that you have there',
      'set tls.acme_eab_kid and tls.acme_eab_hmac_file, which the CA gives to its customers',
    )
  }
  const { profiles } = meta
  if (settings.profile !== undefined && typeof profiles === 'object' && profiles !== null) {
    const offered = Object.keys(profiles)
    if (!offered.includes(settings.profile)) {
      return judge.fail(
        `has no profile "${settings.profile}"`,
        `set tls.acme_profile to one of ${offered.join(', ') || 'none, by removing it'}`,
      )
    }
  }
  return judge.ok('answers')
}

export function judgeClock(settings: AcmeSettings, { dateMs }: CaDirectory, nowMs: number): Finding {
  const judge = judgeOf('clock', settings.directoryUrl)
  if (dateMs === undefined) return judge.ok('the CA does not say what time it is')
  const aheadMs = nowMs - dateMs
  const off = `this machine is ${describe(Math.abs(aheadMs))} ${aheadMs > 0 ? 'ahead of' : 'behind'} the CA`
  const hint = 'set the clock, and keep it set: timedatectl set-ntp true'
  if (Math.abs(aheadMs) > WRONG_CLOCK_MS) return judge.fail(off, hint)
  if (Math.abs(aheadMs) > SLOPPY_CLOCK_MS) return judge.warn(off, hint)
  return judge.ok('agrees with the CA')
}

/** RFC 8555 7.1.1; whatever is no text is left out. */
export function caaIdentitiesOf({ meta }: CaDirectory): string[] {
  const { caaIdentities } = meta
  if (!Array.isArray(caaIdentities)) return []
  return caaIdentities.filter((one) => typeof one === 'string').map((one) => one.toLowerCase())
}

function describe(ms: number): string {
  const minutes = Math.round(ms / MINUTE_MS)
  return minutes < 120 ? `${minutes} min` : `${Math.round(minutes / 60)} h`
}
