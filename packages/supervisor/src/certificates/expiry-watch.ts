// Says in the log that a certificate in service is about to expire, or has: once each.
import type { Clock } from '@reverse-proxy/shared/clock'
import { isoTime } from '@reverse-proxy/shared/clock'
import type { Log } from '@reverse-proxy/shared/log-fields'
import type { CertificateFacts } from './inspect.ts'
import { marginAtMs } from './renewal.ts'

export class ExpiryWatch {
  readonly #listenerId: string
  readonly #log: Log
  readonly #clock: Clock
  readonly #told = new Set<string>()

  constructor(listenerId: string, { log, clock }: { readonly log: Log; readonly clock: Clock }) {
    this.#listenerId = listenerId
    this.#log = log
    this.#clock = clock
  }

  /** Looks at one certificate, and says what has not been said of it. */
  look(facts: CertificateFacts): void {
    const nowMs = this.#clock.nowMs()
    if (nowMs >= facts.notAfterMs) this.#tell('CERT_EXPIRED', facts)
    else if (nowMs >= marginAtMs(facts)) this.#tell('CERT_EXPIRING', facts)
  }

  /** When to look at it again. */
  nextLookMs(facts: CertificateFacts): number {
    const nowMs = this.#clock.nowMs()
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
    if (event === 'CERT_EXPIRED') this.#log.error(event, fields)
    else this.#log.warn(event, fields)
  }
}
