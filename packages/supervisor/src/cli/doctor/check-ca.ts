// Checks what the CA reports: whether it offers what is configured, whether its clock agrees with this machine's, and
// whether it will accept the contact. Pure.
import type { AcmeSettings } from '@reverse-proxy/shared/config/config'
import { MINUTE_MS } from '@reverse-proxy/shared/time-units'
import type { Finding } from './finding.ts'
import { findingsOf } from './finding.ts'
import type { CaDirectory } from './probes.ts'

/** For a slower clock a new certificate is not valid yet: CAs backdate certificates by an hour at most. */
const WRONG_CLOCK_MS = 60 * MINUTE_MS
const SLOPPY_CLOCK_MS = 2 * MINUTE_MS

export function checkCa(settings: AcmeSettings, { meta }: CaDirectory): Finding {
  const finding = findingsOf('ca', settings.directoryUrl)
  if (meta['externalAccountRequired'] === true && settings.eab === undefined) {
    return finding.fail(
      'requires external account binding',
      'set tls.acme_eab_kid and tls.acme_eab_hmac_file to the values from your account at the CA',
    )
  }
  const { profiles } = meta
  if (settings.profile !== undefined && typeof profiles === 'object' && profiles !== null) {
    const offered = Object.keys(profiles)
    if (!offered.includes(settings.profile)) {
      return finding.fail(
        `has no profile "${settings.profile}"`,
        `set tls.acme_profile to one of ${offered.join(', ') || 'none, by removing it'}`,
      )
    }
  }
  return finding.ok('reachable')
}

export function checkClock(settings: AcmeSettings, { dateMs }: CaDirectory, nowMs: number): Finding {
  const finding = findingsOf('clock', settings.directoryUrl)
  if (dateMs === undefined) return finding.ok('the CA does not report its time')
  const aheadMs = nowMs - dateMs
  const off = `this machine is ${describe(Math.abs(aheadMs))} ${aheadMs > 0 ? 'ahead of' : 'behind'} the CA`
  const hint = 'synchronise the clock: timedatectl set-ntp true'
  if (Math.abs(aheadMs) > WRONG_CLOCK_MS) return finding.fail(off, hint)
  if (Math.abs(aheadMs) > SLOPPY_CLOCK_MS) return finding.warn(off, hint)
  return finding.ok('agrees with the CA')
}

/** RFC 8555 7.1.1; leaves out values that are not strings. */
export function caaIdentitiesOf({ meta }: CaDirectory): string[] {
  const { caaIdentities } = meta
  if (!Array.isArray(caaIdentities)) return []
  return caaIdentities.filter((one) => typeof one === 'string').map((one) => one.toLowerCase())
}

function describe(ms: number): string {
  const minutes = Math.round(ms / MINUTE_MS)
  return minutes < 120 ? `${minutes} min` : `${Math.round(minutes / 60)} h`
}

/** RFC 2606 and 6761: these domains receive no mail. */
const RESERVED = /(?:^|\.)(?:test|example|invalid|localhost|local|internal|example\.(?:com|net|org))$/u

/** The part after the @ in lower case; undefined if there is none. */
export function contactDomain({ contact }: Pick<AcmeSettings, 'contact'>): string | undefined {
  return /^mailto:[^@,?\s]+@([^@,?\s]+)$/iu.exec(contact)?.[1]?.toLowerCase()
}

export function checkContact(settings: Pick<AcmeSettings, 'contact'>, receivesMail: boolean): Finding {
  const finding = findingsOf('contact', settings.contact)
  const domain = contactDomain(settings)
  if (domain === undefined) {
    return finding.fail('is not a mail address', 'write tls.acme_contact = "mailto:you@your-domain"')
  }
  if (RESERVED.test(domain)) {
    return finding.warn(`${domain} is reserved: public CAs refuse it`, 'use an address that receives mail')
  }
  if (!receivesMail) {
    return finding.warn(`no mail can be delivered to ${domain}`, 'use an address that receives mail')
  }
  return finding.ok(`${domain} receives mail`)
}
