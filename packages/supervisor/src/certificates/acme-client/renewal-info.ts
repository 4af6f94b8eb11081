// Asks a CA when it would like a certificate to be renewed: RFC 9773 4. Nothing is signed, nothing counts.
import type { AcmeSettings } from '@reverse-proxy/shared/config/config'
import { readCaRoots } from './operator-files.ts'
import type { AcmeLimits } from './transport/time-limits.ts'
import { AcmeTransport } from './transport/transport.ts'
import type { WaitableClock } from '../../os/waitable-clock.ts'
import type { CertificateJobs } from '../crypto/jobs.ts'

export interface RenewalQuestion {
  readonly settings: AcmeSettings
  /** The chain that is in service, leaf first. */
  readonly certPem: string
  readonly clock: WaitableClock
  readonly jobs: CertificateJobs
  readonly limits: Pick<AcmeLimits, 'requestMs'>
  readonly signal: AbortSignal
}

export interface RenewalResponse {
  /** As the CA sent it. */
  readonly data: unknown
  readonly retryAfterMs: number | undefined
}

/** Undefined if the CA offers nothing of the kind. Throws AcmeError, or ProxyError CONFIG. */
export async function askRenewalInfo(question: RenewalQuestion): Promise<RenewalResponse | undefined> {
  const { settings, certPem, clock, jobs, limits, signal } = question
  const id = await jobs.run('certificateIdOf', certPem, signal)
  if (id === undefined) return undefined
  const transport = new AcmeTransport({
    directoryUrl: settings.directoryUrl,
    externalAccount: undefined,
    caPem: await readCaRoots(settings),
    clock,
    limits,
    signal,
  })
  try {
    const url = await transport.optionalUrlOf('renewalInfo')
    if (url === undefined) return undefined
    return await transport.get('cannot read the renewal information', `${url.replace(/\/$/u, '')}/${id}`)
  } finally {
    transport.close()
  }
}
