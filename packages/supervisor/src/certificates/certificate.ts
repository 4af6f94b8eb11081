// A certificate with its key, and how workers and people who read the log see it.
import { isoTime } from '@reverse-proxy/shared/clock'
import type { PushedCertificate } from '@reverse-proxy/shared/ipc/messages'
import type { LogFields } from '@reverse-proxy/shared/log-fields'
import type { CertificateFacts } from './crypto/inspect.ts'

export interface StoredCertificate {
  readonly certPem: string
  readonly keyPem: string
  readonly facts: CertificateFacts
  /** The issuer: an ACME directory URL, or the serial number of the internal root. */
  readonly origin: string
  /** The ACME account that ordered it: its URL. */
  readonly accountUrl?: string | undefined
  /** When we got it, by our clock. */
  readonly obtainedMs: number
}

/** When the CA suggests to renew a certificate: RFC 9773 4.2. */
export interface RenewalWindow {
  readonly startMs: number
  readonly endMs: number
}

type Pair = Pick<StoredCertificate, 'certPem' | 'keyPem' | 'facts'>

export function toPushed({ certPem, keyPem, facts }: Pair): PushedCertificate {
  return { certPem, keyPem, names: facts.names, serial: facts.serial }
}

export function fieldsOf(listenerId: string, { facts }: Pick<Pair, 'facts'>): LogFields {
  return {
    listener: listenerId,
    names: facts.names.join(','),
    issuer: facts.issuer,
    serial: facts.serial,
    not_after: isoTime(facts.notAfterMs),
  }
}
