// Counts what happens to certificates, listener by listener, by looking at what is logged of it: so the
// counters of `certs` and of the metrics can never disagree with the log.
import type { LogEvent, LogFields } from '@reverse-proxy/shared/log-fields'
import { ObservedLog, type LogLevel } from '@reverse-proxy/shared/observed-log'

/** Since the supervisor started. */
export interface EventCounts {
  readonly ordered: number
  readonly issued: number
  /** Attempts that failed. */
  readonly failed: number
  readonly expiring: number
  readonly expired: number
}

const NONE: EventCounts = { ordered: 0, issued: 0, failed: 0, expiring: 0, expired: 0 }

export class CountingLog extends ObservedLog {
  readonly #counts = new Map<string, EventCounts>()

  countsOf(listenerId: string): EventCounts {
    return this.#counts.get(listenerId) ?? NONE
  }

  protected override observe(_level: LogLevel, event: LogEvent, fields: LogFields = {}): void {
    const { listener } = fields
    const counter = counterOf(event, fields)
    if (counter === undefined || typeof listener !== 'string') return
    const counts = this.countsOf(listener)
    this.#counts.set(listener, { ...counts, [counter]: counts[counter] + 1 })
  }
}

const COUNTERS: Partial<Record<LogEvent, keyof EventCounts>> = {
  CERT_ORDER: 'ordered',
  CERT_ISSUED: 'issued',
  CERT_FAILED: 'failed',
  CERT_EXPIRING: 'expiring',
  CERT_EXPIRED: 'expired',
}

function counterOf(event: LogEvent, fields: LogFields): keyof EventCounts | undefined {
  const counter = COUNTERS[event]
  // Only an attempt has a next one; other lines say what else is wrong with a certificate.
  return counter === 'failed' && fields['next_attempt'] === undefined ? undefined : counter
}
