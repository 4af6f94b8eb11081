// The last log lines of the supervisor, kept for the status page. Passes every line on to the log.
import type { Log, LogEvent, LogFields } from '@reverse-proxy/shared/log-fields'

type KeptLevel = Exclude<keyof Log, 'debug'>

export interface RecentEvent {
  /** Counts up from 1. */
  readonly number: number
  readonly at: string
  readonly level: KeptLevel
  readonly event: LogEvent
  readonly fields: LogFields
}

const KEPT = 50

export class RecentEvents implements Log {
  readonly #log: Log
  readonly #events: RecentEvent[] = []
  #last = 0

  constructor(log: Log) {
    this.#log = log
  }

  /** Oldest first; includes lines below the level of the log, but no `debug` lines. */
  get latest(): readonly RecentEvent[] {
    return this.#events
  }

  debug(event: LogEvent, fields?: LogFields): void {
    this.#log.debug(event, fields)
  }

  info(event: LogEvent, fields?: LogFields): void {
    this.#keep('info', event, fields)
  }

  warn(event: LogEvent, fields?: LogFields): void {
    this.#keep('warn', event, fields)
  }

  error(event: LogEvent, fields?: LogFields): void {
    this.#keep('error', event, fields)
  }

  #keep(level: KeptLevel, event: LogEvent, fields: LogFields = {}): void {
    this.#events.push({ number: ++this.#last, at: new Date().toISOString(), level, event, fields })
    if (this.#events.length > KEPT) this.#events.shift()
    this.#log[level](event, fields)
  }
}
