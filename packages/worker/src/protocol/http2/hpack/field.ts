// One field line of a request as HPACK gives it, checked once when it is made, however often its table entry is used.
// Says whether the line alone is malformed (RFC 9113 8.2); streams/request-head.ts checks the fields together. Pure.
import { isToken } from '@reverse-proxy/shared/http-token'
import { mayPass } from '../../../message/headers.ts'
import { isContentLength, isFieldValue } from '../../../message/field-values.ts'
import { STATIC_NAMES } from './static-table.ts'

/** The meaning of a field for the reader of its section. */
export const KIND = {
  plain: 0,
  malformed: 1,
  method: 2,
  scheme: 3,
  authority: 4,
  path: 5,
  protocol: 6,
  host: 7,
  contentLength: 8,
  priority: 9,
} as const

const SPECIAL: ReadonlyMap<string, number> = new Map([
  [':method', KIND.method],
  [':scheme', KIND.scheme],
  [':authority', KIND.authority],
  [':path', KIND.path],
  [':protocol', KIND.protocol],
  ['host', KIND.host],
  ['content-length', KIND.contentLength],
  ['priority', KIND.priority],
])
// RFC 9113 8.2.2. Over HTTP/2 a message with one of them is malformed.
const CONNECTION_SPECIFIC: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'transfer-encoding',
  'upgrade',
])
const UPPER_CASE = /[A-Z]/
const EDGE_SPACE = /^[\t ]|[\t ]$/
// RFC 3986 3.1.
const SCHEME = /^[A-Za-z][A-Za-z0-9+.-]*$/
// RFC 3986 3.2 without userinfo, which RFC 9113 8.3.1 forbids. No name is empty.
const AUTHORITY = /^[A-Za-z0-9._~!$&'()*+,;=:%[\]-]+$/
// Origin-form or `*`. Bytes beyond ASCII and fragments pass here and get the same response as over HTTP/1.
const PATH = /^(?:\/[\u0021-\u007e\u0080-\u00ff]*|\*)$/
/** RFC 7541 4.1: the size of an entry beside its name and value. */
const OVERHEAD_BYTES = 32

export class Field {
  readonly name: string
  readonly value: string
  readonly kind: number
  /** Size of the entry in HPACK (RFC 7541 4.1). */
  readonly size: number
  #passedLine: string | undefined

  constructor(name: string, value: string, kind: number) {
    this.name = name
    this.value = value
    this.kind = kind
    this.size = name.length + value.length + OVERHEAD_BYTES
  }

  /** The line that an upstream gets, with its CRLF; '': none. Made once, however often a table entry is used. */
  get passedLine(): string {
    this.#passedLine ??= mayPass(this.name) ? `${this.name}: ${this.value}\r\n` : ''
    return this.#passedLine
  }
}

/** @param name and value: a character for each byte */
export function fieldOf(name: string, value: string): Field {
  return new Field(name, value, kindOf(name, value))
}

function kindOf(name: string, value: string): number {
  const kind = SPECIAL.get(name) ?? KIND.plain
  if (!isFieldValue(value) || EDGE_SPACE.test(value)) return KIND.malformed
  switch (kind) {
    case KIND.method:
      return isToken(value) ? kind : KIND.malformed
    case KIND.scheme:
      return SCHEME.test(value) ? kind : KIND.malformed
    case KIND.path:
      return PATH.test(value) ? kind : KIND.malformed
    case KIND.protocol:
      return isToken(value) ? kind : KIND.malformed
    case KIND.authority:
    case KIND.host:
      return AUTHORITY.test(value) ? kind : KIND.malformed
    case KIND.contentLength:
      return isContentLength(value) ? kind : KIND.malformed
    case KIND.priority:
      return kind
    default:
      return isPlain(name, value) ? kind : KIND.malformed
  }
}

function isPlain(name: string, value: string): boolean {
  if (CONNECTION_SPECIFIC.has(name)) return false
  // RFC 9113 8.2.2: the only value that TE may have.
  if (name === 'te') return value.toLowerCase() === 'trailers'
  // Any other name that begins with a colon is no token, and so malformed.
  if (STATIC_NAMES.has(name)) return !name.startsWith(':')
  return isToken(name) && !UPPER_CASE.test(name)
}
