// Log lines: the events, and the text form of a line. Pure; pino and files are elsewhere.
// A value can forge neither a line nor a field: see formatValue. Lines are ASCII, in both formats.
import { isoTime } from './clock.ts'

/** Programs (fail2ban, people's scripts) look for these words, so they are stable. */
export type LogEvent =
  | 'REQUEST'
  | 'RATE_LIMIT'
  | 'RATE_LIMIT_LOCAL'
  | 'RATE_LIMIT_OVERFLOW'
  | 'UPSTREAM_ERROR'
  | 'UPSTREAM_RETRY'
  | 'UPSTREAM_BYTES'
  | 'CONFIG_RELOAD'
  | 'ADMIN'
  | 'TLS_ESTABLISHED'
  | 'TLS_REJECTED'
  | 'TLS_FAILED'
  | 'CLIENT_ERROR'
  | 'CONNECTION_LIMIT'
  | 'LOG_DROPPED'
  | 'LOG_FAILED'
  | 'OPEN_FILES'
  | 'STARTING'
  | 'READY'
  | 'SYSTEMD'
  | 'STOPPING'
  | 'STOPPED'
  | 'WORKER_READY'
  | 'WORKER_EXIT'
  | 'ROLL_WAITING'
  | 'ACME_CONTACT'
  | 'CERT_LOADED'
  | 'CERT_ORDER'
  | 'CERT_ISSUED'
  | 'CERT_FAILED'
  | 'CERT_EXPIRING'
  | 'CERT_EXPIRED'
  | 'CERT_QUARANTINED'
  | 'CERT_RENEWAL_INFO'
  | 'CERT_RENEWAL_ALARM'
  | 'CLOCK_WRONG'
  | 'CERT_EXPOSED'
  | 'INTERNAL_ERROR'
  | 'PHASE'
  | 'RESIZE'
  | 'WORKER_BOOT_FAILED'

export type LogValue = string | number | boolean | undefined
export type LogFields = Readonly<Record<string, LogValue>>

/** The log as every part of the program sees it; the process decides where lines go. */
export interface Log {
  debug(event: LogEvent, fields?: LogFields): void
  info(event: LogEvent, fields?: LogFields): void
  warn(event: LogEvent, fields?: LogFields): void
  error(event: LogEvent, fields?: LogFields): void
}

// Anything that is not a plain, visible ASCII word needs quotes.
const PLAIN = /^[!#-<>-[\]-~]+$/
const ESCAPED = /["\\]|[^ -~]/g
const BEYOND_ASCII = /[^\n -~]/g

/**
 * The fields whose value a client chooses, and the most of it that is written, in bytes as they are
 * escaped. Together with the rest they make a line that a pipe takes as a whole (PIPE_BUF, 4096 bytes),
 * so that the lines of several processes do not mix.
 */
const LONGEST_BYTES = { path: 2048, host: 255, method: 32, server_name: 255 } as const
type ClientField = keyof typeof LONGEST_BYTES
const CLIENT_FIELDS: readonly ClientField[] = ['path', 'host', 'method', 'server_name']
const LONGEST_ESCAPE = '\\u0000'.length
const CUT_MARK = '...'

/** The same fields; a client's text that is too long ends in `...`. */
export function boundFields(fields: LogFields): LogFields {
  let bounded = fields
  for (const name of CLIENT_FIELDS) {
    const value = fields[name]
    if (typeof value !== 'string' || value.length * LONGEST_ESCAPE <= LONGEST_BYTES[name]) continue
    const cut = cutEscaped(value, LONGEST_BYTES[name])
    if (cut !== value) bounded = { ...bounded, [name]: cut }
  }
  return bounded
}

/** `text`, or as much of it as takes `maxBytes` when it is escaped and marked as cut. */
function cutEscaped(text: string, maxBytes: number): string {
  let bytes = 0
  let kept = 0
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code < 0x20 || code > 0x7e) bytes += LONGEST_ESCAPE
    else bytes += code === 0x22 || code === 0x5c ? 2 : 1
    if (bytes > maxBytes) return text.slice(0, kept) + CUT_MARK
    if (bytes <= maxBytes - CUT_MARK.length) kept = i + 1
  }
  return text
}

/**
 * One value of a text line. Words of visible ASCII without `"`, `=` and `\` stand as they are;
 * everything else is quoted, with `"` and `\` as `\"` and `\\`, and whatever is no visible ASCII as `\uXXXX`.
 */
export function formatValue(value: Exclude<LogValue, undefined>): string {
  if (typeof value !== 'string') return String(value)
  if (PLAIN.test(value)) return value
  return `"${value.replace(ESCAPED, escapeCharacter)}"`
}

/** The same line of JSON, in ASCII: no reader meets a control byte, a direction override or half a character. */
export function escapeJson(line: string): string {
  return line.replace(BEYOND_ASCII, escapeUnit)
}

function escapeCharacter(character: string): string {
  return character === '"' || character === '\\' ? `\\${character}` : escapeUnit(character)
}

function escapeUnit(unit: string): string {
  return `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`
}

/** `2026-01-02T03:04:05.678Z INFO REQUEST client_ip=203.0.113.5 ...` and a newline. */
export function formatLine(timeMs: number, level: string, event: string, fields: LogFields): string {
  let line = `${lineTime(timeMs)} ${level} ${event}`
  for (const name in fields) {
    const value = fields[name]
    if (value !== undefined) line += ` ${name}=${formatValue(value)}`
  }
  return `${line}\n`
}

let newestTime = { ms: Number.NaN, text: '' }

/** Many lines are of the same millisecond. */
function lineTime(timeMs: number): string {
  if (timeMs !== newestTime.ms) newestTime = { ms: timeMs, text: isoTime(timeMs) }
  return newestTime.text
}
