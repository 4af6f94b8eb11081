// A certificate as workers get it.
import type { PushedCertificate } from '@reverse-proxy/shared/ipc/messages'
import type { CertificateFacts } from './inspect.ts'

export function toPushed(certificate: {
  readonly certPem: string
  readonly keyPem: string
  readonly facts: CertificateFacts
}): PushedCertificate {
  const { certPem, keyPem, facts } = certificate
  return { certPem, keyPem, names: facts.names, serial: facts.serial }
}
