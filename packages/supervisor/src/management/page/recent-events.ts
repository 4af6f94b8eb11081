// The last log lines of the supervisor, kept for the status page.
import type { LogEvent, LogFields } from '@reverse-proxy/shared/log-fields'
import { ObservedLog, type LogLevel } from '@reverse-proxy/shared/observed-log'

export interface RecentEvent {
  /** Counts up from 1. */
  readonly number: number
  readonly at: string
  readonly level: Exclude<LogLevel, 'debug'>
  readonly event: LogEvent
  readonly fields: LogFields
}

const KEPT = 50

export class RecentEvents extends ObservedLog {
  readonly #events: RecentEvent[] = []
  #last = 0

  /** Oldest first. */
  get latest(): readonly RecentEvent[] {
    return this.#events
  }

  protected override observe(level: LogLevel, event: LogEvent, fields: LogFields = {}): void {
    if (level === 'debug') return
    this.#events.push({ number: ++this.#last, at: new Date().toISOString(), level, event, fields })
    if (this.#events.length > KEPT) this.#events.shift()
  }
}
