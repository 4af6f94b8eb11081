// A client's request to the CA, as a test reads it: which kind, by whom, and what the signed payload
// says. Reads only; signatures are Pebble's to check.
import type { IncomingHttpHeaders } from 'node:http'

export type RequestKind =
  | 'directory'
  | 'newNonce'
  | 'newAccount'
  | 'account'
  | 'newOrder'
  | 'order'
  | 'authz'
  | 'challenge'
  | 'finalize'
  | 'certificate'
  | 'renewalInfo'
  | 'revokeCert'
  | 'keyChange'
  | 'other'

/** Below this, RFC 9773 4.1: one resource for each certificate. Pebble has no such path. */
export const RENEWAL_INFO_PATH = '/renewal-info'

// Of Pebble 2.4.
const KINDS: readonly (readonly [path: string, kind: RequestKind])[] = [
  ['/dir', 'directory'],
  ['/nonce-plz', 'newNonce'],
  ['/sign-me-up', 'newAccount'],
  ['/my-account/', 'account'],
  ['/order-plz', 'newOrder'],
  ['/my-order/', 'order'],
  ['/authZ/', 'authz'],
  ['/chalZ/', 'challenge'],
  ['/finalize-order/', 'finalize'],
  ['/certZ/', 'certificate'],
  [`${RENEWAL_INFO_PATH}/`, 'renewalInfo'],
  ['/revoke-cert', 'revokeCert'],
  ['/rollover-account-key', 'keyChange'],
]

export interface RequestHead {
  readonly method: string
  readonly path: string
  readonly headers: IncomingHttpHeaders
}

export interface AcmeRequest extends RequestHead {
  readonly kind: RequestKind
  /** When its last byte was here; Unix time. */
  readonly atMs: number
  readonly body: Buffer
  /** URL of the account that signed it; undefined where the bare key did, or nobody. */
  readonly accountUrl: string | undefined
  /** What was signed; undefined for GET, HEAD and POST-as-GET. */
  readonly payload: Readonly<Record<string, unknown>> | undefined
  /** Of a newOrder: the values, as sent. */
  readonly identifiers: readonly string[]
  /** Of a newOrder: RFC 9773 5. */
  readonly replaces: string | undefined
  /** Of a newOrder. */
  readonly profile: string | undefined
  /** Status of the answer, once its head is sent. */
  status: number | undefined
  /** Of the answer, head and TLS included, until now. */
  sentBytes: number
  /** Why the proxy itself, not a fault, gave no answer: mostly that Pebble is down. */
  error: unknown
}

export function parseRequest(head: RequestHead, body: Buffer): AcmeRequest {
  const jws = parseObject(body.toString())
  const payload = parseObject(decode(jws?.['payload']))
  return {
    ...head,
    kind: kindOf(head.path),
    atMs: Date.now(),
    body,
    accountUrl: textOf(parseObject(decode(jws?.['protected']))?.['kid']),
    payload,
    identifiers: listOf(payload?.['identifiers']).flatMap(({ value }) => textOf(value) ?? []),
    replaces: textOf(payload?.['replaces']),
    profile: textOf(payload?.['profile']),
    status: undefined,
    sentBytes: 0,
    error: undefined,
  }
}

/** Undefined for anything but a JSON object. */
export function parseObject(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return isObject(value) ? value : undefined
  } catch {
    return undefined
  }
}

export function listOf(value: unknown): Record<string, unknown>[] {
  return Array.isArray(value) ? value.filter(isObject) : []
}

function kindOf(path: string): RequestKind {
  const isAt = (known: string): boolean => (known.endsWith('/') ? path.startsWith(known) : path === known)
  return KINDS.find(([known]) => isAt(known))?.[1] ?? 'other'
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined
}

function decode(value: unknown): string {
  return Buffer.from(textOf(value) ?? '', 'base64url').toString()
}
