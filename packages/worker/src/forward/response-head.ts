// The head of an upstream's response, from its text (RFC 9112 4 to 6). Pure, and stricter than the RFC where
// that leaves a choice: what two parsers could read differently is no response.
import { isFieldName, lowerFieldName } from '../http/field-names.ts'
import { isContentLength, isFieldValue } from '../http/field-values.ts'
import { badResponse } from './upstream-error.ts'

export interface ResponseHead {
  readonly status: number
  /** As it came; may be empty. */
  readonly reason: string
  /** Name, value, name, value ...; names in lower case, a character for each byte. */
  readonly fields: string[]
  /** How the body is framed, if the request and the status allow one at all. */
  readonly framing: 'chunked' | 'until-close' | number
  /** The upstream will take another request on this connection. */
  readonly keepsAlive: boolean
  /** How long it says it will wait for that (s); undefined if it does not say. */
  readonly keepAliveSecs: number | undefined
}

/** How every response begins, whichever minor version it has. */
export const VERSION_1 = 'HTTP/1.'
const SPACE = 0x20
const TAB = 0x09
const DIGIT_0 = 0x30
const KEEP_ALIVE_TIMEOUT = /(?:^|[\s,;])timeout=([0-9]{1,6})(?:$|[\s,;])/i

/**
 * @param text all lines before the empty one, each with its CRLF
 * @throws ProxyError UPSTREAM_PROTOCOL
 */
export function parseResponseHead(text: string): ResponseHead {
  const statusEnd = text.indexOf('\r\n')
  const status = statusOf(text, statusEnd)
  const isVersion11 = text.charCodeAt(VERSION_1.length) === DIGIT_0 + 1
  const fields = parseFieldLines(text, statusEnd + 2)
  let contentLength: string | undefined
  let isChunked = false
  let connection = ''
  let keepAliveSecs: number | undefined
  for (let i = 0; i < fields.length; i += 2) {
    const value = fields[i + 1]!
    switch (fields[i]!) {
      case 'content-length':
        if (contentLength !== undefined || !isContentLength(value)) throw badResponse()
        contentLength = value
        break
      case 'transfer-encoding':
        // Nobody has asked for another coding; passed on without its name, it would be taken for the content.
        if (isChunked || value.toLowerCase() !== 'chunked') throw badResponse()
        isChunked = true
        break
      case 'connection':
        connection = connection === '' ? value : `${connection},${value}`
        break
      case 'keep-alive':
        keepAliveSecs = timeoutOf(value)
        break
      default:
    }
  }
  // RFC 9112 6.1: both, or chunks in HTTP/1.0, mean that somebody on the way frames messages wrongly.
  if (isChunked && (contentLength !== undefined || !isVersion11)) throw badResponse()
  return {
    status,
    reason: text.slice(VERSION_1.length + 6, statusEnd),
    fields,
    framing: isChunked ? 'chunked' : contentLength === undefined ? 'until-close' : Number(contentLength),
    keepsAlive: isVersion11 && !closes(connection),
    keepAliveSecs,
  }
}

/**
 * @param text field lines, each with its CRLF, from `at` on
 * @returns name, value, name, value ...; names in lower case
 * @throws ProxyError UPSTREAM_PROTOCOL
 */
export function parseFieldLines(text: string, at: number): string[] {
  const fields: string[] = []
  while (at < text.length) {
    const lineEnd = text.indexOf('\r\n', at)
    const colon = text.indexOf(':', at)
    if (colon === -1 || colon > lineEnd) throw badResponse()
    const name = text.slice(at, colon)
    const value = trimmed(text, colon + 1, lineEnd)
    // RFC 9112 5.1 and 5.2: neither a space before the colon nor a folded line is a name; nor a CR or LF alone a value.
    if (!isFieldName(name) || !isFieldValue(value)) throw badResponse()
    fields.push(lowerFieldName(name), value)
    at = lineEnd + 2
  }
  return fields
}

/** `HTTP/1.1 200 OK`; the reason may be missing, with its space or without. */
function statusOf(text: string, lineEnd: number): number {
  const statusAt = VERSION_1.length + 2
  const reasonAt = statusAt + 3
  if (!text.startsWith(VERSION_1) || lineEnd < reasonAt) throw badResponse()
  const minor = text.charCodeAt(VERSION_1.length) - DIGIT_0
  const hundreds = text.charCodeAt(statusAt) - DIGIT_0
  const tens = text.charCodeAt(statusAt + 1) - DIGIT_0
  const ones = text.charCodeAt(statusAt + 2) - DIGIT_0
  const isStatus = hundreds >= 1 && hundreds <= 5 && isDigit(tens) && isDigit(ones)
  if (!isStatus || (minor !== 0 && minor !== 1)) throw badResponse()
  if (text.charCodeAt(statusAt - 1) !== SPACE) throw badResponse()
  if (lineEnd > reasonAt && text.charCodeAt(reasonAt) !== SPACE) throw badResponse()
  if (!isFieldValue(text.slice(reasonAt, lineEnd))) throw badResponse()
  return hundreds * 100 + tens * 10 + ones
}

function isDigit(value: number): boolean {
  return value >= 0 && value <= 9
}

function trimmed(text: string, start: number, end: number): string {
  while (start < end && isBlank(text.charCodeAt(start))) start++
  while (end > start && isBlank(text.charCodeAt(end - 1))) end--
  return text.slice(start, end)
}

function isBlank(code: number): boolean {
  return code === SPACE || code === TAB
}

/** @param connection what stands in `Connection`; usually one word, if any */
function closes(connection: string): boolean {
  if (connection === '' || connection === 'keep-alive') return false
  return connection.split(',').some((option) => option.trim().toLowerCase() === 'close')
}

let newestHint: { readonly value: string; readonly seconds: number | undefined } = {
  value: '',
  seconds: undefined,
}

/** An upstream says the same each time. */
function timeoutOf(value: string): number | undefined {
  if (value !== newestHint.value) {
    const seconds = KEEP_ALIVE_TIMEOUT.exec(value)?.[1]
    newestHint = { value, seconds: seconds === undefined ? undefined : Number(seconds) }
  }
  return newestHint.seconds
}
