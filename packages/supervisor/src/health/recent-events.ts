// The last lines of the supervisor's log that are not of requests, kept for whoever opens the status page.
import type { Log, LogEvent, LogFields } from '@reverse-proxy/shared/log-fields'

export interface RecentEvent {
  /** Counts up from 1. */
  readonly number: number
  readonly at: string
  readonly level: 'info' | 'warn' | 'error'
  readonly event: LogEvent
  readonly fields: LogFields
}

const KEPT = 50

/** Passes everything on. */
export class RecentEvents implements Log {
  readonly #log: Log
  readonly #events: RecentEvent[] = []
  #last = 0

  constructor(log: Log) {
    this.#log = log
  }

  /** Oldest first. */
  get latest(): readonly RecentEvent[] {
    return this.#events
  }

  debug(event: LogEvent, fields?: LogFields): void {
    this.#log.debug(event, fields)
  }

  info(event: LogEvent, fields?: LogFields): void {
    this.#keep('info', event, fields)
    this.#log.info(event, fields)
  }

  warn(event: LogEvent, fields?: LogFields): void {
    this.#keep('warn', event, fields)
    this.#log.warn(event, fields)
  }

  error(event: LogEvent, fields?: LogFields): void {
    this.#keep('error', event, fields)
    this.#log.error(event, fields)
  }

  #keep(level: RecentEvent['level'], event: LogEvent, fields: LogFields = {}): void {
    this.#events.push({ number: ++this.#last, at: new Date().toISOString(), level, event, fields })
    if (this.#events.length > KEPT) this.#events.shift()
  }
}
