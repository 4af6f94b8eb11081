// A certificate as others see it: workers, and people who read the log.
import { isoTime } from '@reverse-proxy/shared/clock'
import type { PushedCertificate } from '@reverse-proxy/shared/ipc/messages'
import type { LogFields } from '@reverse-proxy/shared/log-fields'
import type { CertificateFacts } from './crypto/inspect.ts'

interface Certificate {
  readonly certPem: string
  readonly keyPem: string
  readonly facts: CertificateFacts
}

export function toPushed({ certPem, keyPem, facts }: Certificate): PushedCertificate {
  return { certPem, keyPem, names: facts.names, serial: facts.serial }
}

export function fieldsOf(listenerId: string, { facts }: Pick<Certificate, 'facts'>): LogFields {
  return {
    listener: listenerId,
    names: facts.names.join(','),
    issuer: facts.issuer,
    serial: facts.serial,
    not_after: isoTime(facts.notAfterMs),
  }
}
