// A log that keeps what it is told.
import type { Log, LogEvent, LogFields } from '@reverse-proxy/shared/log-fields'

export interface Logged extends LogFields {
  readonly level: 'debug' | 'info' | 'warn' | 'error'
  readonly event: LogEvent
}

export function recordingLog(): Log & { readonly lines: readonly Logged[] } {
  const lines: Logged[] = []
  const at =
    (level: Logged['level']) =>
    (event: LogEvent, fields: LogFields = {}): void =>
      void lines.push({ ...fields, level, event })
  return { lines, debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }
}
