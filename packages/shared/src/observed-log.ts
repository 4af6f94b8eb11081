// A log that looks at what it is told before it passes it on: for what is counted or kept of the log.
import type { Log, LogEvent, LogFields } from './log-fields.ts'

export type LogLevel = keyof Log

/** Sees every line, also what is below the level of the log that it passes it on to. */
export abstract class ObservedLog implements Log {
  readonly #log: Log

  constructor(log: Log) {
    this.#log = log
  }

  debug(event: LogEvent, fields?: LogFields): void {
    this.observe('debug', event, fields)
    this.#log.debug(event, fields)
  }

  info(event: LogEvent, fields?: LogFields): void {
    this.observe('info', event, fields)
    this.#log.info(event, fields)
  }

  warn(event: LogEvent, fields?: LogFields): void {
    this.observe('warn', event, fields)
    this.#log.warn(event, fields)
  }

  error(event: LogEvent, fields?: LogFields): void {
    this.observe('error', event, fields)
    this.#log.error(event, fields)
  }

  protected abstract observe(level: LogLevel, event: LogEvent, fields?: LogFields): void
}
