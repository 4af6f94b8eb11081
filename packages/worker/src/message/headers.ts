// Makes the header list for the upstream from the client's, and the client's from the upstream's, without objects in
// between. Pure. First removes every field that must not pass, then adds ours, so that no client can name one of ours in
// `Connection` and have it removed.
import { lowerFieldName } from './field-names.ts'

/** Fields that replace those of the client. */
export interface CopiedFields {
  /** Lower case, with hyphens. */
  readonly names: ReadonlySet<string>
  /** Name, value, name, value ...; only of fields that have one. */
  readonly list: readonly string[]
}

export interface Forwarded {
  readonly client: ForwardedClient
  /** Host or `:authority` as the client wrote it. */
  readonly authority: string
  readonly connectionOptions: readonly string[]
  readonly requestId: string
  /** The user who has authenticated to us. */
  readonly user: string | undefined
  /** The credentials are for us alone, and are not forwarded. */
  readonly dropsAuthorization: boolean
  /** Undefined: the client has shown none. */
  readonly clientCertificate?: { readonly subject: string; readonly fingerprint: string } | undefined
  /** Undefined: the client's own fields go up. */
  readonly copied?: CopiedFields | undefined
}

/** The facts about the client for the upstream. */
interface ForwardedClient {
  readonly ip: string
  readonly scheme: 'http' | 'https'
  /** From a trusted proxy: the chain for X-Forwarded-For, and the received X-Forwarded-Host. */
  readonly forwarded?: { readonly for: string; readonly host: string | undefined }
}

export interface RequestHeaders {
  readonly list: string[]
  /** The request authenticates the upstream connection: later requests on it may count as this user's. */
  readonly bindsConnection: boolean
}

export interface ResponseHeaders {
  /** Without Content-Length; names in lower case. */
  readonly list: string[]
  readonly contentLength: string | undefined
  /**
   * The body has a transfer coding other than chunked, which we have not accepted (RFC 9112 6.1: without the name of the
   * coding, the client would take the coded bytes for content), or two framings; or the head has too many connection
   * options.
   */
  readonly isUnreadable: boolean
  /** The upstream requests or continues an authentication of its connection. */
  readonly bindsConnection: boolean
}

// RFC 9110 7.6.1, except Trailer; and fields between a client and its proxy.
const HOP_BY_HOP = [
  'connection',
  'keep-alive',
  'proxy-connection',
  'proxy-authenticate',
  'proxy-authorization',
  'te',
  'transfer-encoding',
  'upgrade',
  'http2-settings',
] as const

const FORWARDING = [
  'forwarded',
  'x-forwarded-for',
  'x-forwarded-proto',
  'x-forwarded-host',
  'x-real-ip',
  // Names the authenticated user; upstreams trust it.
  'remote-user',
  'x-request-id',
  // They name the certificate that the client has shown.
  'x-client-cert-subject',
  'x-client-cert-fingerprint',
] as const

/** Limit on the options of `Connection`, because every field is compared with each of them. */
export const MAX_CONNECTION_OPTIONS = 100
const NO_OPTIONS: readonly string[] = []
/**
 * Schemes that authenticate a connection, not a request (RFC 4559, MS-NTHT, MS-N2HT), anywhere among other challenges.
 * Text in a quoted string that looks like one has no bad effect.
 */
const CONNECTION_SCHEME = /(?:^|[\s,])(?:NTLM|Negotiate|Nego2|Kerberos)(?:$|[\s,])/i

/**
 * Fields of a client that no upstream gets, in lower case; among them Expect, to which the proxy has responded, and
 * Trailer, because request trailers are dropped.
 */
export const NOT_FROM_CLIENT: ReadonlySet<string> = new Set([
  ...HOP_BY_HOP,
  ...FORWARDING,
  'expect',
  'trailer',
  'host',
  'content-length',
])
const NOT_FROM_UPSTREAM: ReadonlySet<string> = new Set([...HOP_BY_HOP, 'server', 'content-length', 'trailer'])
// RFC 9110 6.5.1: fields for framing, routing, authentication, or the format of the content cannot be trailers.
const NOT_IN_TRAILERS: ReadonlySet<string> = new Set([
  ...NOT_FROM_UPSTREAM,
  ...NOT_FROM_CLIENT,
  'age',
  'authorization',
  'cache-control',
  'content-encoding',
  'content-range',
  'content-type',
  'cookie',
  'date',
  'expires',
  'location',
  'max-forwards',
  'pragma',
  'range',
  'retry-after',
  'set-cookie',
  'vary',
  'www-authenticate',
])

/** The header section for the upstream without framing. Cookie crumbs of HTTP/2 are joined. */
export function upstreamRequestHeaders(rawHeaders: readonly string[], forwarded: Forwarded): RequestHeaders {
  const {
    client,
    authority,
    connectionOptions,
    requestId,
    user,
    dropsAuthorization,
    copied,
    clientCertificate,
  } = forwarded
  const list = ['Host', authority]
  let cookieAt = -1
  let bindsConnection = false
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i]!
    const lowerName = lowerFieldName(name)
    if (!mayPass(lowerName) || connectionOptions.includes(lowerName)) continue
    if (copied?.names.has(lowerName.replaceAll('_', '-')) === true) continue
    const value = rawHeaders[i + 1]!
    if (lowerName === 'cookie') {
      // RFC 9113 8.2.3: they become a single field outside HTTP/2.
      if (cookieAt !== -1) {
        list[cookieAt] += `; ${value}`
        continue
      }
      cookieAt = list.length + 1
    } else if (lowerName === 'authorization') {
      if (dropsAuthorization) continue
      bindsConnection ||= CONNECTION_SCHEME.test(value)
    }
    list.push(name, value)
  }
  list.push('X-Real-IP', client.ip, 'X-Forwarded-For', client.forwarded?.for ?? client.ip)
  list.push('X-Forwarded-Proto', client.scheme, 'X-Forwarded-Host', client.forwarded?.host ?? authority)
  list.push('X-Request-Id', requestId)
  if (user !== undefined) list.push('Remote-User', user)
  if (clientCertificate !== undefined) {
    const { subject, fingerprint } = clientCertificate
    list.push('X-Client-Cert-Subject', subject, 'X-Client-Cert-Fingerprint', fingerprint)
  }
  if (copied !== undefined) list.push(...copied.list)
  return { list, bindsConnection }
}

export const NO_CONTENT = 204
/** RFC 9110 15.3.6: 205 has no content, whatever the upstream sends; its length is 0. */
export const RESET_CONTENT = 205
const NOT_MODIFIED = 304

/** RFC 9112 6.3: a response with this final status ends with its head, whatever its fields say about a body. */
export function endsWithHead(status: number): boolean {
  return status === NO_CONTENT || status === NOT_MODIFIED
}

/**
 * Makes the header section for the client from that of the upstream. Keeps Trailer only if trailers can follow.
 */
export function clientResponseHeaders(
  rawHeaders: readonly string[],
  status: number,
  canAnnounceTrailers: boolean,
): ResponseHeaders {
  const connectionOptions = optionsOf(rawHeaders)
  const list: string[] = []
  let contentLength: string | undefined
  let announced: string | undefined
  let isChunked = false
  let bindsConnection = false
  let isUnreadable = connectionOptions.length > MAX_CONNECTION_OPTIONS
  if (isUnreadable) return { list, contentLength, isUnreadable, bindsConnection }
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = lowerFieldName(rawHeaders[i]!)
    const value = rawHeaders[i + 1]!
    if (NOT_FROM_UPSTREAM.has(name)) {
      if (name === 'content-length') {
        contentLength = value
      } else if (name === 'transfer-encoding') {
        isUnreadable ||= isChunked || value.toLowerCase() !== 'chunked'
        isChunked = true
      } else if (name === 'trailer') {
        announced = value
      } else if (name === 'proxy-authenticate') {
        bindsConnection ||= CONNECTION_SCHEME.test(value)
      }
    } else if (!connectionOptions.includes(name)) {
      list.push(name, value)
      if (name === 'www-authenticate') bindsConnection ||= CONNECTION_SCHEME.test(value)
    }
  }
  const canHaveTrailers = canAnnounceTrailers && status !== RESET_CONTENT && !endsWithHead(status)
  if (isChunked && announced !== undefined && canHaveTrailers) list.push('trailer', announced)
  // RFC 9112 6.3: both a length and chunks should be an error. A safeguard: the parsers have rejected it.
  isUnreadable ||= isChunked && contentLength !== undefined
  return { list, contentLength, isUnreadable, bindsConnection }
}

/** Response trailers, without what must not be a trailer (RFC 9110 6.5.1). */
export function clientTrailers(rawTrailers: readonly string[]): string[] {
  const list: string[] = []
  for (let i = 0; i < rawTrailers.length; i += 2) {
    const name = lowerFieldName(rawTrailers[i]!)
    if (!NOT_IN_TRAILERS.has(name)) list.push(name, rawTrailers[i + 1]!)
  }
  return list
}

/**
 * Removes fields from `list` in place.
 * @param list name, value, name, value ...
 * @param from the position of the first field that may be removed
 */
export function removeFields(list: string[], from: number, isRemoved: (lowerName: string) => boolean): void {
  let kept = from
  for (let i = from; i < list.length; i += 2) {
    if (isRemoved(lowerFieldName(list[i]!))) continue
    list[kept] = list[i]!
    list[kept + 1] = list[i + 1]!
    kept += 2
  }
  list.length = kept
}

/** Whether a client's field with this name may go to an upstream, as far as the name decides. */
export function mayPass(lowerName: string): boolean {
  return !NOT_FROM_CLIENT.has(lowerName) && !isDisguised(lowerName)
}

/** CGI and WSGI do not tell `-` from `_`: `X_Forwarded_For` would be read as ours, `Transfer_Encoding` as framing. */
function isDisguised(lowerName: string): boolean {
  return lowerName.includes('_') && NOT_FROM_CLIENT.has(lowerName.replaceAll('_', '-'))
}

/** The options of `Connection`, without those that are always removed. */
function optionsOf(rawHeaders: readonly string[]): readonly string[] {
  let options: string[] | undefined
  for (let i = 0; i < rawHeaders.length; i += 2) {
    if (lowerFieldName(rawHeaders[i]!) !== 'connection') continue
    const value = rawHeaders[i + 1]!
    if (value === 'keep-alive') continue
    options ??= []
    for (const option of value.split(',')) options.push(option.trim().toLowerCase())
  }
  return options ?? NO_OPTIONS
}
