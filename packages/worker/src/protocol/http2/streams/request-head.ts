// Makes the head of a request from the fields of a section, or finds that it is malformed (RFC 9113 8.1.1): checks the
// pseudo-headers and what the fields mean together. message/request-parser.ts checks a well-formed request. Pure.
import type { RequestHead } from '../../../message/request-parser.ts'
import { KIND, type Field } from '../hpack/field.ts'

export interface Http2RequestHead extends RequestHead {
  readonly protocol: 'h2'
  /** Undefined: the request says none. */
  readonly contentLength: number | undefined
  /** The `priority` field (RFC 9218); undefined: there is none. */
  readonly priority: string | undefined
}

const CONNECT = 'CONNECT'
const WEBSOCKET = 'websocket'

/**
 * @param endsWithHead END_STREAM came with it
 * @returns undefined if it is malformed
 */
export function requestHeadOf(fields: readonly Field[], endsWithHead: boolean): Http2RequestHead | undefined {
  let method: string | undefined
  let scheme: string | undefined
  let target: string | undefined
  let authority: string | undefined
  let protocol: string | undefined
  let host: string | undefined
  let contentLength: number | undefined
  let priority: string | undefined
  const rawHeaders: string[] = []
  const passed = new PassedLines()
  for (const field of fields) {
    const { kind, name, value } = field
    if (kind === KIND.plain) {
      rawHeaders.push(name, value)
      passed.add(field)
      continue
    }
    switch (kind) {
      case KIND.method:
        if (method !== undefined || rawHeaders.length > 0) return undefined
        method = value
        continue
      case KIND.scheme:
        if (scheme !== undefined || rawHeaders.length > 0) return undefined
        scheme = value
        continue
      case KIND.path:
        if (target !== undefined || rawHeaders.length > 0) return undefined
        target = value
        continue
      case KIND.authority:
        if (authority !== undefined || rawHeaders.length > 0) return undefined
        authority = value
        continue
      case KIND.protocol:
        if (protocol !== undefined || rawHeaders.length > 0) return undefined
        protocol = value
        continue
      case KIND.host:
        if (host !== undefined) return undefined
        host = value
        break
      case KIND.contentLength:
        if (contentLength !== undefined) return undefined
        contentLength = Number(value)
        break
      case KIND.priority:
        priority = priority === undefined ? value : `${priority},${value}`
        passed.add(field)
        break
      default:
        return undefined
    }
    rawHeaders.push(name, value)
  }
  if (method === undefined || (authority === undefined && host === undefined)) return undefined
  if (method === CONNECT && protocol === undefined) {
    // RFC 9113 8.5.
    if (scheme !== undefined || target !== undefined || authority === undefined) return undefined
  } else {
    if (scheme === undefined || target === undefined) return undefined
    // RFC 8441 4.
    if (protocol !== undefined && (method !== CONNECT || authority === undefined)) return undefined
    if (target === '*' && method !== 'OPTIONS') return undefined
  }
  // RFC 9113 8.1.1. The bytes behind a CONNECT are not content.
  if (endsWithHead && contentLength !== undefined && contentLength > 0) return undefined
  return {
    protocol: 'h2',
    method,
    target: target ?? '',
    authority,
    scheme,
    rawHeaders,
    passedLines: passed.text,
    endsWithHead,
    upgrade: method === CONNECT && protocol === WEBSOCKET,
    contentLength: method === CONNECT ? undefined : contentLength,
    priority,
  }
}

/** The lines that an upstream gets, with one line for all crumbs of cookies (RFC 9113 8.2.3) in the place of the first. */
class PassedLines {
  #lines = ''
  #cookies: string | undefined
  #linesBehind = ''
  #hasCredentials = false

  add(field: Field): void {
    if (field.name === 'cookie') {
      this.#cookies = this.#cookies === undefined ? field.value : `${this.#cookies}; ${field.value}`
    } else {
      if (field.name === 'authorization') this.#hasCredentials = true
      if (this.#cookies === undefined) this.#lines += field.passedLine
      else this.#linesBehind += field.passedLine
    }
  }

  /** Undefined: the credentials have to be read. */
  get text(): string | undefined {
    if (this.#hasCredentials) return undefined
    if (this.#cookies === undefined) return this.#lines
    return `${this.#lines}cookie: ${this.#cookies}\r\n${this.#linesBehind}`
  }
}

/** RFC 9113 8.1: no pseudo-headers, and nothing that would be malformed in a head. */
export function areTrailers(fields: readonly Field[]): boolean {
  for (const { kind } of fields) {
    if (kind !== KIND.plain && kind !== KIND.priority && kind !== KIND.contentLength && kind !== KIND.host)
      return false
  }
  return true
}
