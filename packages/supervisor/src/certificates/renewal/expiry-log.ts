// Says in the log that a certificate in service is about to expire, or has: once each.
import { isoTime } from '@reverse-proxy/shared/clock'
import type { CertificateServices } from '../services.ts'
import type { CertificateFacts } from '../crypto/inspect.ts'
import { marginAtMs } from './schedule.ts'

type ExpiryHost = Pick<CertificateServices, 'log' | 'clock' | 'counts'>

export class ExpiryWatch {
  readonly #listenerId: string
  readonly #host: ExpiryHost
  readonly #told = new Set<string>()

  constructor(listenerId: string, host: ExpiryHost) {
    this.#listenerId = listenerId
    this.#host = host
  }

  /** Logs once that a certificate is about to expire, and once that it has expired. */
  look(facts: CertificateFacts): void {
    const nowMs = this.#host.clock.nowMs()
    if (nowMs >= facts.notAfterMs) this.#tell('CERT_EXPIRED', facts)
    else if (nowMs >= marginAtMs(facts)) this.#tell('CERT_EXPIRING', facts)
  }

  /** When to look at it again. */
  nextLookMs(facts: CertificateFacts): number {
    const nowMs = this.#host.clock.nowMs()
    return [marginAtMs(facts), facts.notAfterMs].find((timeMs) => timeMs > nowMs) ?? Infinity
  }

  #tell(event: 'CERT_EXPIRING' | 'CERT_EXPIRED', facts: CertificateFacts): void {
    const key = `${event} ${facts.serial}`
    if (this.#told.has(key)) return
    this.#told.add(key)
    const fields = {
      listener: this.#listenerId,
      names: facts.names.join(','),
      serial: facts.serial,
      not_after: isoTime(facts.notAfterMs),
    }
    const { counts, log } = this.#host
    if (event === 'CERT_EXPIRED') {
      counts.add(this.#listenerId, 'expired')
      log.error(event, fields)
    } else {
      counts.add(this.#listenerId, 'expiring')
      log.warn(event, fields)
    }
  }
}
