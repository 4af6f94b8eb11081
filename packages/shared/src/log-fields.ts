// Log lines: the events, and the text form of a line. Pure; pino and files are elsewhere.
// A value can forge neither a line nor a field: see formatValue.

/** SPEC 9: the words programs (fail2ban, logrotate, people's scripts) look for. */
export type LogEvent =
  | 'REQUEST'
  | 'RATE_LIMIT'
  | 'RATE_LIMIT_LOCAL'
  | 'RATE_LIMIT_OVERFLOW'
  | 'UPSTREAM_ERROR'
  | 'CONFIG_RELOAD'
  | 'ADMIN'
  | 'TLS_REJECTED'
  | 'TLS_FAILED'
  | 'CLIENT_ERROR'
  | 'LOG_DROPPED'
  | 'STARTING'
  | 'READY'
  | 'SYSTEMD'
  | 'STOPPING'
  | 'STOPPED'
  | 'WORKER_READY'
  | 'WORKER_EXIT'
  | 'CERT_LOADED'
  | 'CERT_ORDER'
  | 'CERT_ISSUED'
  | 'CERT_FAILED'
  | 'CERT_EXPIRING'
  | 'CERT_EXPIRED'
  | 'CERT_QUARANTINED'
  | 'CERT_RENEWAL_INFO'
  | 'CLOCK_WRONG'
  | 'INTERNAL_ERROR'
  | 'PHASE'
  | 'RESIZE'
  | 'WORKER_BOOT_FAILED'

export type LogValue = string | number | boolean | undefined
export type LogFields = Readonly<Record<string, LogValue>>

/** What every part of the program logs through; the process decides where it goes. */
export interface Log {
  debug(event: LogEvent, fields?: LogFields): void
  info(event: LogEvent, fields?: LogFields): void
  warn(event: LogEvent, fields?: LogFields): void
  error(event: LogEvent, fields?: LogFields): void
}

// Anything that is not a plain, visible ASCII word needs quotes.
const PLAIN = /^[!#-<>-[\]-~]+$/u
// Control bytes, line and paragraph separators, bidirectional overrides, lone surrogates.
const ESCAPED =
  /["\\\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/gu

/**
 * One value of a text line. Words of visible ASCII without `"`, `=` and `\` stand as they are;
 * everything else is quoted, with `"`, `\` and every control character as `\"`, `\\`, `\uXXXX`.
 */
export function formatValue(value: Exclude<LogValue, undefined>): string {
  if (typeof value !== 'string') return String(value)
  if (PLAIN.test(value)) return value
  return `"${value.replace(ESCAPED, escapeCharacter)}"`
}

function escapeCharacter(character: string): string {
  if (character === '"' || character === '\\') return `\\${character}`
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
}

/** `2026-01-02T03:04:05.678Z INFO REQUEST client_ip=203.0.113.5 ...` and a newline. */
export function formatLine(timeMs: number, level: string, event: string, fields: LogFields): string {
  let line = `${new Date(timeMs).toISOString()} ${level} ${event}`
  for (const name in fields) {
    const value = fields[name]
    if (value !== undefined) line += ` ${name}=${formatValue(value)}`
  }
  return `${line}\n`
}
