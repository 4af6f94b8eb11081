// Reports events of one listener's ACME certificate to the log and the terminal. Decides nothing.
import { isoTime } from '@reverse-proxy/shared/clock'
import type { AcmeSettings } from '@reverse-proxy/shared/config/config'
import { missingNames } from './coverage.ts'
import type { Exposure, Quarantined } from '../storage/storage.ts'
import type { FailureRecord } from '../renewal/failure-record.ts'
import type { CertificateServices, OrderStep } from '../services.ts'
import { fieldsOf } from '../certificate.ts'
import type { StoredCertificate } from '../certificate.ts'

type ReporterHost = Pick<CertificateServices, 'log' | 'progress' | 'counts'>

export class AcmeReporter {
  readonly #listenerId: string
  readonly #settings: AcmeSettings
  readonly #host: ReporterHost

  constructor(listenerId: string, settings: AcmeSettings, host: ReporterHost) {
    this.#listenerId = listenerId
    this.#settings = settings
    this.#host = host
  }

  loaded(certificate: StoredCertificate): void {
    this.#host.log.info('CERT_LOADED', { ...fieldsOf(this.#listenerId, certificate), source: 'cache' })
  }

  ordering(names: readonly string[]): void {
    this.#host.counts.add(this.#listenerId, 'ordered')
    this.#host.log.info('CERT_ORDER', {
      listener: this.#listenerId,
      names: names.join(','),
      directory: this.#settings.directoryUrl,
    })
  }

  issued(certificate: StoredCertificate): void {
    this.#host.counts.add(this.#listenerId, 'issued')
    this.#host.log.info('CERT_ISSUED', fieldsOf(this.#listenerId, certificate))
  }

  /** Says so if a configured name is in none of `certificates`, which are served. */
  missing(certificates: readonly StoredCertificate[]): void {
    const missing = missingNames(this.#settings, ...certificates)
    if (missing.length > 0) this.error(`the certificate lacks ${missing.join(', ')}`)
  }

  /** @param isServing the listener has a good certificate meanwhile */
  failed(record: FailureRecord, isServing: boolean): void {
    this.#host.counts.add(this.#listenerId, 'failed')
    this.#host.log[isServing ? 'warn' : 'error']('CERT_FAILED', {
      listener: this.#listenerId,
      names: this.#settings.domains.join(','),
      error: record.reason,
      failed_names: record.failedNames.length === 0 ? undefined : record.failedNames.join(','),
      problem: record.document,
      next_attempt: isoTime(record.nextAttemptMs),
    })
  }

  error(error: string): void {
    this.#host.log.error('CERT_FAILED', {
      listener: this.#listenerId,
      names: this.#settings.domains.join(','),
      error,
    })
  }

  /** About a certificate that is used all the same. */
  warn(error: string): void {
    this.#host.log.warn('CERT_FAILED', {
      listener: this.#listenerId,
      names: this.#settings.domains.join(','),
      error,
    })
  }

  /** The certificate is not in danger: the next order tries again. */
  contactNotChanged(error: string): void {
    this.#host.log.warn('ACME_CONTACT', { listener: this.#listenerId, error })
  }

  quarantined({ path, reason }: Quarantined): void {
    this.#host.log.error('CERT_QUARANTINED', { listener: this.#listenerId, path, error: reason })
  }

  exposed({ path, problem }: Exposure): void {
    this.#host.log.warn('CERT_EXPOSED', { listener: this.#listenerId, path, error: problem })
  }

  progress(step: OrderStep, detail?: string): void {
    this.#host.progress({
      listenerId: this.#listenerId,
      step,
      names: this.#settings.domains,
      ...(detail !== undefined && { detail }),
    })
  }
}
