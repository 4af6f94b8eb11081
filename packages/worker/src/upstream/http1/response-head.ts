// Parses the head of an upstream's response (RFC 9112 4 to 6). Pure. Lenient where only one reading is possible (lines
// that end in LF alone, equal lengths); rejects what two parsers could read differently, and names the rule.
import { isFieldName, lowerFieldName } from '../../message/field-names.ts'
import { isContentLength, isFieldValue } from '../../message/field-values.ts'
import { badResponse } from './bad-response.ts'
import { KnownLines } from './known-lines.ts'

export interface ParsedResponseHead {
  readonly status: number
  /** As the upstream sent it; may be empty. */
  readonly reason: string
  /** Name, value, name, value ...; names in lower case, a character for each byte. */
  readonly fields: string[]
  /** How the body is framed, if the request and the status allow one at all. */
  readonly framing: 'chunked' | 'until-close' | number
  /** The upstream will take another request on this connection. */
  readonly keepsAlive: boolean
  /** How many seconds it says it will wait for that; undefined if it does not say. */
  readonly keepAliveSecs: number | undefined
}

/** Every response begins with this, whatever its minor version. */
export const VERSION_1 = 'HTTP/1.'
const SPACE = 0x20
const TAB = 0x09
const DIGIT_0 = 0x30
const CR = 0x0d
const KEEP_ALIVE_TIMEOUT = /(?:^|[\s,;])timeout=([0-9]{1,6})(?:$|[\s,;])/i

const knownLines = new KnownLines()

/**
 * @param text all lines before the empty one, each with its CRLF or LF
 * @throws ProxyError UPSTREAM_PROTOCOL
 */
export function parseResponseHead(text: string): ParsedResponseHead {
  const lf = text.indexOf('\n')
  const statusEnd = endOfLine(text, lf)
  const status = statusOf(text, statusEnd)
  // RFC 9110 2.5: a higher minor version is read as the highest one that is known.
  const isVersion10 = text.charCodeAt(VERSION_1.length) === DIGIT_0
  const fields = parseFieldLines(text, lf + 1)
  let contentLength: string | undefined
  let isChunked = false
  let connection = ''
  let keepAliveSecs: number | undefined
  for (let i = 0; i < fields.length; i += 2) {
    const value = fields[i + 1]!
    switch (fields[i]!) {
      case 'content-length':
        contentLength = sameLength(contentLength, value)
        fields[i + 1] = contentLength
        break
      case 'transfer-encoding':
        // We accept no other coding: without Transfer-Encoding, the client would take the coded bytes for content.
        if (isChunked) throw badResponse('several Transfer-Encoding', value)
        if (value.toLowerCase() !== 'chunked') throw badResponse('transfer coding other than chunked', value)
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
  // RFC 9112 6.1: both fields, or chunks in HTTP/1.0, show that some sender frames messages wrongly.
  if (isChunked && contentLength !== undefined)
    throw badResponse('both Content-Length and Transfer-Encoding', contentLength)
  if (isChunked && isVersion10) throw badResponse('Transfer-Encoding in HTTP/1.0')
  return {
    status,
    reason: text.slice(VERSION_1.length + 6, statusEnd),
    fields,
    framing: isChunked ? 'chunked' : contentLength === undefined ? 'until-close' : Number(contentLength),
    keepsAlive: !isVersion10 && !closes(connection),
    keepAliveSecs,
  }
}

/**
 * @param text field lines, each with its CRLF or LF, from `at` on; a character for each byte
 * @returns name, value, name, value ...; names in lower case
 * @throws ProxyError UPSTREAM_PROTOCOL
 */
export function parseFieldLines(text: string, at: number): string[] {
  const fields: string[] = []
  while (at < text.length) {
    const lf = text.indexOf('\n', at)
    const known = knownLines.find(text, at, lf)
    if (known === undefined) {
      const { name, value } = parseLine(text, at, lf)
      knownLines.add(text, at, lf, name, value)
      fields.push(name, value)
    } else fields.push(known.name, known.value)
    at = lf + 1
  }
  return fields
}

function parseLine(text: string, at: number, lf: number): { name: string; value: string } {
  const lineEnd = endOfLine(text, lf)
  const colon = text.indexOf(':', at)
  if (colon === -1 || colon > lineEnd)
    throw badResponse('field line without a colon', text.slice(at, lineEnd))
  const name = text.slice(at, colon)
  const value = trimmed(text, colon + 1, lineEnd)
  // RFC 9112 5.1 and 5.2: neither a space before the colon nor a folded line is a name; nor is a CR alone a value.
  if (!isFieldName(name)) throw badResponse('field name', text.slice(at, lineEnd))
  if (!isFieldValue(value)) throw badResponse('field value', text.slice(at, lineEnd))
  return { name: lowerFieldName(name), value }
}

/** RFC 9112 2.2: a line may end in LF alone. @param lf where it is @returns where the line's own text ends */
function endOfLine(text: string, lf: number): number {
  return text.charCodeAt(lf - 1) === CR ? lf - 1 : lf
}

/**
 * RFC 9110 8.6: the same length may occur several times, in one field or in several.
 * @param before the length of earlier fields
 */
function sameLength(before: string | undefined, value: string): string {
  let length = before
  for (const member of value.includes(',') ? value.split(',') : [value]) {
    const digits = trimmed(member, 0, member.length)
    if (!isContentLength(digits)) throw badResponse('Content-Length', value)
    if (length !== undefined && length !== digits) throw badResponse('different Content-Length', value)
    length = digits
  }
  // At least one member has been checked.
  return length ?? value
}

/** `HTTP/1.1 200 OK`; the reason may be missing, with its space or without. */
function statusOf(text: string, lineEnd: number): number {
  const statusAt = VERSION_1.length + 2
  const reasonAt = statusAt + 3
  if (!text.startsWith(VERSION_1)) throw badResponse('not HTTP/1', text)
  const minor = text.charCodeAt(VERSION_1.length) - DIGIT_0
  if (!isDigit(minor)) throw badResponse('HTTP version', text.slice(0, lineEnd))
  const hundreds = text.charCodeAt(statusAt) - DIGIT_0
  const tens = text.charCodeAt(statusAt + 1) - DIGIT_0
  const ones = text.charCodeAt(statusAt + 2) - DIGIT_0
  const isStatus = hundreds >= 1 && hundreds <= 9 && isDigit(tens) && isDigit(ones)
  if (lineEnd < reasonAt || !isStatus) throw badResponse('status', text.slice(0, lineEnd))
  if (text.charCodeAt(statusAt - 1) !== SPACE) throw badResponse('status line', text.slice(0, lineEnd))
  if (lineEnd > reasonAt && text.charCodeAt(reasonAt) !== SPACE)
    throw badResponse('status line', text.slice(0, lineEnd))
  if (!isFieldValue(text.slice(reasonAt, lineEnd))) throw badResponse('reason phrase', text.slice(0, lineEnd))
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

/** @param connection the value of `Connection`: usually one word, or none */
function closes(connection: string): boolean {
  if (connection === '' || connection === 'keep-alive') return false
  return connection.split(',').some((option) => option.trim().toLowerCase() === 'close')
}

let newestHint: { readonly value: string; readonly seconds: number | undefined } = {
  value: '',
  seconds: undefined,
}

/** Values repeat: an upstream sends the same each time. */
function timeoutOf(value: string): number | undefined {
  if (value !== newestHint.value) {
    const seconds = KEEP_ALIVE_TIMEOUT.exec(value)?.[1]
    newestHint = { value, seconds: seconds === undefined ? undefined : Number(seconds) }
  }
  return newestHint.seconds
}
