// Parses the facts of a request from its head and rejects what is ambiguous. Pure: one pass over the fields, then a
// decision. No other file reads the client's framing fields; every request is framed anew from the result.
import type { Limits } from '@reverse-proxy/shared/config/config'
import { ProxyError } from '@reverse-proxy/shared/errors'
import { isToken } from '@reverse-proxy/shared/http-token'
import { MAX_CONNECTION_OPTIONS } from './headers.ts'
import { lowerFieldName } from './field-names.ts'
import { isContentLength } from './field-values.ts'
import { parseAuthority, parseTarget } from './target.ts'

/** `other`: an unknown version. */
export type Protocol = 'http/1.0' | 'http/1.1' | 'h2' | 'other'

/** A request's head as the parser gave it. */
export interface RequestHead {
  readonly protocol: Protocol
  readonly method: string
  /** The request target or `:path`; '' if there is none (CONNECT over HTTP/2). */
  readonly target: string
  /** `:authority`. */
  readonly authority: string | undefined
  /** `:scheme`. */
  readonly scheme: string | undefined
  /** Name, value, name, value ...; in the client's order and case, without pseudo-headers. */
  readonly rawHeaders: readonly string[]
  /**
   * The lines of all fields that an upstream may get, as they came, each with its CRLF. Undefined: some of the fields have to
   * be looked at, see `upstreamRequestHeaders`.
   */
  readonly passedLines?: string | undefined
  /** HTTP/2: END_STREAM came with the header section, so there is no body. */
  readonly endsWithHead: boolean
  /**
   * It asks for a WebSocket: over HTTP/1.1 with Upgrade, over HTTP/2 with the extended CONNECT of RFC 8441.
   */
  readonly upgrade: boolean
  /** Set if the parser has collected them; otherwise they are taken from `rawHeaders`. */
  readonly framing?: RequestFraming
}

/** The fields that decide about framing and routing, each with all of its values. */
export interface RequestFraming {
  /** Bytes of all fields. */
  readonly bytes: number
  /** Number of fields; the cookie crumbs of HTTP/2 count as one (RFC 9113 8.2.3). */
  readonly fields: number
  readonly hosts: readonly string[]
  readonly contentLengths: readonly string[]
  readonly transferEncodings: readonly string[]
  readonly expectations: readonly string[]
  readonly connection: readonly string[]
  readonly websocketKeys: readonly string[]
  readonly websocketVersions: readonly string[]
  readonly hasConnectionSpecific: boolean
}

export type BodyFraming =
  /** `isDeclared`: the head says so with `Content-Length: 0`. */
  | { readonly kind: 'none'; readonly isDeclared: boolean }
  | { readonly kind: 'length'; readonly bytes: number }
  | { readonly kind: 'unknown' }

export interface ParsedRequest {
  /** For routing: lower case, no port. */
  readonly host: string
  /** For the upstream: Host or `:authority` as the client wrote it. */
  readonly authority: string
  /** Origin-form, byte for byte. */
  readonly path: string
  readonly body: BodyFraming
  readonly expectsContinue: boolean
  /** Names, in lower case, of the fields that `Connection` lists; they are not forwarded. */
  readonly connectionOptions: readonly string[]
}

type HeadLimits = Pick<Limits, 'headerBytes' | 'headerCount'>

const NO_BODY: BodyFraming = { kind: 'none', isDeclared: false }
const EMPTY_BODY: BodyFraming = { kind: 'none', isDeclared: true }
const UNKNOWN_LENGTH: BodyFraming = { kind: 'unknown' }
const NO_VALUES: readonly string[] = []
/** `: ` and CRLF: bytes of a header line beside its name and value. */
const LINE_OVERHEAD_BYTES = 4
/** `; ` between two cookies. */
const COOKIE_SEPARATOR_BYTES = 2
export const WEBSOCKET_VERSION = '13'
// RFC 6455 4.1: sixteen bytes in base64.
const WEBSOCKET_KEY = /^[A-Za-z0-9+/]{22}==$/

/** The fields while they are collected. */
export type FramingFacts = { -readonly [K in keyof RequestFraming]: RequestFraming[K] }

/** The fields of a head before the first one is added. */
export function newFraming(bytes: number, fields: number): FramingFacts {
  return {
    bytes,
    fields,
    hosts: NO_VALUES,
    contentLengths: NO_VALUES,
    transferEncodings: NO_VALUES,
    expectations: NO_VALUES,
    connection: NO_VALUES,
    websocketKeys: NO_VALUES,
    websocketVersions: NO_VALUES,
    hasConnectionSpecific: false,
  }
}

/** @param name in lower case; has no effect for a field that does not decide about framing or routing */
export function addToFraming(facts: FramingFacts, name: string, value: string): void {
  switch (name) {
    case 'host':
      facts.hosts = withValue(facts.hosts, value)
      break
    case 'content-length':
      facts.contentLengths = withValue(facts.contentLengths, value)
      break
    case 'transfer-encoding':
      facts.transferEncodings = withValue(facts.transferEncodings, value)
      break
    case 'expect':
      facts.expectations = withValue(facts.expectations, value)
      break
    case 'connection':
      facts.connection = withValue(facts.connection, value)
      break
    case 'sec-websocket-key':
      facts.websocketKeys = withValue(facts.websocketKeys, value)
      break
    case 'sec-websocket-version':
      facts.websocketVersions = withValue(facts.websocketVersions, value)
      break
    case 'keep-alive':
    case 'proxy-connection':
    case 'upgrade':
      facts.hasConnectionSpecific = true
      break
    default:
  }
}

function framingOf({ rawHeaders, protocol }: RequestHead): RequestFraming {
  const facts = newFraming(0, rawHeaders.length / 2)
  let hasCookie = false
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = lowerFieldName(rawHeaders[i]!)
    const value = rawHeaders[i + 1]!
    facts.bytes += name.length + value.length + LINE_OVERHEAD_BYTES
    if (name !== 'cookie') {
      addToFraming(facts, name, value)
      continue
    }
    // Crumbs of HTTP/2 are joined before they go upstream.
    if (hasCookie && protocol === 'h2') {
      facts.fields -= 1
      facts.bytes -= name.length + LINE_OVERHEAD_BYTES - COOKIE_SEPARATOR_BYTES
    }
    hasCookie = true
  }
  return facts
}

/** Most of these fields are absent in most requests: a new list for each would be most of the cost of a request. */
function withValue(values: readonly string[], value: string): readonly string[] {
  return values === NO_VALUES ? [value] : [...values, value]
}

/**
 * @throws ProxyError BAD_HOST, BAD_TARGET, BAD_FRAMING, HEADERS_TOO_LARGE, METHOD_NOT_ALLOWED, EXPECTATION_FAILED, WEBSOCKET_VERSION
 */
export function parseRequest(head: RequestHead, limits: HeadLimits): ParsedRequest {
  const framing = head.framing ?? framingOf(head)
  if (framing.fields > limits.headerCount) throw headersTooLarge()
  if (framing.bytes + head.target.length > limits.headerBytes) throw headersTooLarge()
  // RFC 9112 2.3: the framing of other versions is unknown.
  if (head.protocol === 'other') throw new ProxyError('BAD_FRAMING', 'unknown HTTP version')
  // Includes an extended CONNECT whose :protocol is not websocket.
  if (head.method === 'CONNECT' && !head.upgrade) throw new ProxyError('METHOD_NOT_ALLOWED', 'CONNECT')
  if (head.protocol === 'h2') checkHttp2(head, framing)
  if (head.upgrade) checkWebSocket(head, framing)
  const body = head.upgrade ? NO_BODY : bodyFraming(head, framing)
  const authorityText = singleAuthority(head, framing.hosts)
  const authority = parseAuthority(authorityText)
  return {
    host: authority.host,
    authority: authorityText,
    path: parseTarget(head.target, authority),
    body,
    expectsContinue: expectsContinue(head, framing.expectations),
    connectionOptions: connectionOptions(framing.connection),
  }
}

function headersTooLarge(): ProxyError {
  return new ProxyError('HEADERS_TOO_LARGE', 'header section too large')
}

/**
 * Whether the socket of this request may become a tunnel: a WebSocket handshake without a body. Any other request with
 * `Upgrade` is served as an ordinary one, without that field.
 */
export function isWebSocketHandshake(
  method: string,
  httpVersion: string,
  rawHeaders: readonly string[],
): boolean {
  if (method !== 'GET' || httpVersion !== '1.1') return false
  const upgrades: string[] = []
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = lowerFieldName(rawHeaders[i]!)
    if (name === 'upgrade') upgrades.push(rawHeaders[i + 1]!)
    else if (name === 'transfer-encoding') return false
    else if (name === 'content-length' && rawHeaders[i + 1] !== '0') return false
  }
  return upgrades.length === 1 && upgrades[0]?.toLowerCase() === 'websocket'
}

function checkHttp2(head: RequestHead, framing: RequestFraming): void {
  // RFC 9113 8.2.2: connection-specific fields make the request malformed.
  if (
    framing.hasConnectionSpecific ||
    framing.connection.length > 0 ||
    framing.transferEncodings.length > 0
  ) {
    throw new ProxyError('BAD_FRAMING', 'connection-specific header over HTTP/2')
  }
  if (!isToken(head.method)) throw new ProxyError('BAD_TARGET', 'malformed :method')
  // RFC 9113 8.3.1 allows other schemes; we are a gateway to none of them.
  if (head.scheme !== 'https' && head.scheme !== 'http') throw new ProxyError('BAD_TARGET', 'bad :scheme')
  if (!head.target.startsWith('/')) throw new ProxyError('BAD_TARGET', 'bad :path')
}

/** RFC 9112 6, stricter where it leaves a choice: rejects what two parsers could read differently. */
function bodyFraming(head: RequestHead, { contentLengths, transferEncodings }: RequestFraming): BodyFraming {
  if (transferEncodings.length > 0) {
    if (contentLengths.length > 0)
      throw new ProxyError('BAD_FRAMING', 'both Content-Length and Transfer-Encoding')
    if (transferEncodings.length > 1 || transferEncodings[0]?.toLowerCase() !== 'chunked') {
      throw new ProxyError('BAD_FRAMING', 'Transfer-Encoding is not exactly chunked')
    }
    // RFC 9112 6.1: a Transfer-Encoding in HTTP/1.0 means faulty framing.
    if (head.protocol === 'http/1.0') throw new ProxyError('BAD_FRAMING', 'Transfer-Encoding in HTTP/1.0')
    return UNKNOWN_LENGTH
  }
  if (contentLengths.length > 1) throw new ProxyError('BAD_FRAMING', 'several Content-Length')
  const [declared] = contentLengths
  if (declared !== undefined) {
    if (!isContentLength(declared)) throw new ProxyError('BAD_FRAMING', 'malformed Content-Length')
    const bytes = Number(declared)
    if (head.endsWithHead && bytes > 0) throw new ProxyError('BAD_FRAMING', 'Content-Length without a body')
    return bytes === 0 ? EMPTY_BODY : { kind: 'length', bytes }
  }
  return head.protocol === 'h2' && !head.endsWithHead ? UNKNOWN_LENGTH : NO_BODY
}

function checkWebSocket(head: RequestHead, framing: RequestFraming): void {
  const { websocketKeys, websocketVersions, contentLengths } = framing
  // Bytes after the head belong to the tunnel.
  const isEmpty = contentLengths.length === 0 || (contentLengths.length === 1 && contentLengths[0] === '0')
  if (!isEmpty || (head.protocol === 'h2' && contentLengths.length > 0) || head.endsWithHead) {
    throw new ProxyError('BAD_FRAMING', 'a WebSocket handshake with a body, or without a tunnel')
  }
  // RFC 8441 5: over HTTP/2 there is no key.
  if (head.protocol !== 'h2' && (websocketKeys.length !== 1 || !WEBSOCKET_KEY.test(websocketKeys[0]!))) {
    throw new ProxyError('BAD_FRAMING', 'a WebSocket handshake without a proper key')
  }
  // RFC 6455 4.2.2: other versions are unknown.
  if (websocketVersions.length !== 1 || websocketVersions[0] !== WEBSOCKET_VERSION) {
    throw new ProxyError('WEBSOCKET_VERSION', 'a WebSocket handshake of another version')
  }
}

function singleAuthority(head: RequestHead, hosts: readonly string[]): string {
  if (hosts.length > 1) throw new ProxyError('BAD_HOST', 'several Host headers')
  const [host] = hosts
  const authority = head.authority ?? host
  if (authority === undefined) throw new ProxyError('BAD_HOST', 'no Host')
  // RFC 9113 8.3.1: Host, if present, must equal :authority.
  if (host !== undefined && host.toLowerCase() !== authority.toLowerCase()) {
    throw new ProxyError('BAD_HOST', 'Host and :authority differ')
  }
  return authority
}

function expectsContinue(head: RequestHead, expectations: readonly string[]): boolean {
  if (expectations.length === 0) return false
  if (expectations.length > 1 || expectations[0]?.toLowerCase() !== '100-continue') {
    throw new ProxyError('EXPECTATION_FAILED', 'an expectation other than 100-continue')
  }
  // RFC 9110 10.1.1: it is ignored in HTTP/1.0.
  return head.protocol !== 'http/1.0'
}

/** Without `keep-alive`, since a field of that name is never forwarded. */
function connectionOptions(values: readonly string[]): readonly string[] {
  if (values.length === 0 || (values.length === 1 && values[0] === 'keep-alive')) return NO_VALUES
  const options = values
    .join(',')
    .split(',')
    .map((option) => option.trim().toLowerCase())
    .filter((option) => option !== '')
  if (options.length > MAX_CONNECTION_OPTIONS) {
    throw new ProxyError('BAD_FRAMING', 'too many options in Connection')
  }
  return options
}
