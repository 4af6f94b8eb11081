// The events of the log and the text form of a line. Lines are ASCII in both formats, and no value can forge a line or
// a field: see formatValue. Pure; log/ writes the lines.
import { isoTime } from './clock.ts'

/** Stable: programs such as fail2ban search for these words. */
export type LogEvent =
  | 'REQUEST'
  | 'RATE_LIMIT'
  | 'BAN'
  | 'UNBAN'
  | 'BANS_FULL'
  | 'AUTH_FAILED'
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
  | 'CERT_EXPOSED'
  | 'INTERNAL_ERROR'
  | 'PHASE'
  | 'RESIZE'
  | 'WORKER_BOOT_FAILED'

export type LogValue = string | number | boolean | undefined
export type LogFields = Readonly<Record<string, LogValue>>

/** The log as every component sees it. The process decides where lines go. */
export interface Log {
  debug(event: LogEvent, fields?: LogFields): void
  info(event: LogEvent, fields?: LogFields): void
  warn(event: LogEvent, fields?: LogFields): void
  error(event: LogEvent, fields?: LogFields): void
}

const SPACE = 0x20
const QUOTE = 0x22
const EQUALS = 0x3d
const BACKSLASH = 0x5c
const TILDE = 0x7e
const ESCAPED = /["\\]|[^ -~]/g
const BEYOND_ASCII = /[^\n -~]/g

/**
 * The fields whose value a client chooses, and their maximum lengths (bytes, escaped). With these limits a line fits
 * into one atomic write to a pipe (PIPE_BUF, 4096 bytes), so that lines of several processes do not mix.
 */
const LONGEST_BYTES = { path: 2048, host: 255, method: 32, server_name: 255 } as const
type ClientField = keyof typeof LONGEST_BYTES
const CLIENT_FIELDS: readonly ClientField[] = ['path', 'host', 'method', 'server_name']
const LONGEST_ESCAPE = '\\u0000'.length
const CUT_MARK = '...'

/** Cuts the values of clients that are too long; they end in `...`. */
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

/** `text`, or its beginning and `...` if its escaped form is longer than `maxBytes`. */
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
 * One value of a text line. Visible ASCII without `"`, `=` and `\` is written as it is. Any other value is quoted, with
 * `\"` and `\\` for `"` and `\`, and `\uXXXX` for every other character outside of visible ASCII.
 */
export function formatValue(value: Exclude<LogValue, undefined>): string {
  if (typeof value !== 'string') return String(value)
  if (isPlain(value)) return value
  return `"${value.replace(ESCAPED, escapeCharacter)}"`
}

/** A regular expression takes twice as long for values as short as most are. */
function isPlain(value: string): boolean {
  for (let i = 0; i < value.length; i++) {
    const code = value.charCodeAt(i)
    if (code <= SPACE || code > TILDE || code === QUOTE || code === EQUALS || code === BACKSLASH) return false
  }
  return value !== ''
}

/** Escapes a JSON line to ASCII, so that it has no control byte, direction override or lone surrogate. */
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

const SECOND_MS = 1_000
/** `2026-01-02T03:04:05.`: as long as the part of a time that changes once a second. */
const SECOND_LENGTH = 20
let newestSecond = { number: Number.NaN, text: '' }

/** Makes the text of a second once: at a thousand lines a second nearly every one has a time of its own. */
function lineTime(timeMs: number): string {
  const number = Math.floor(timeMs / SECOND_MS)
  if (number !== newestSecond.number)
    newestSecond = { number, text: isoTime(number * SECOND_MS).slice(0, SECOND_LENGTH) }
  const ms = timeMs - number * SECOND_MS
  return `${newestSecond.text}${ms < 10 ? '00' : ms < 100 ? '0' : ''}${ms}Z`
}
