// Every failure that the proxy names, in one table: its source, whether the request may be sent again, and the status of
// the response. Callers compare `code`, never message text.
import { messageOf } from './error-text.ts'

type ErrorSource = 'client' | 'upstream' | 'internal' | 'operator'

/** `unreached`: no peer has seen any of it; `if-unanswered`: a peer may have seen it, so only what is safe to repeat. */
type Retry = 'never' | 'unreached' | 'if-unanswered'

interface ErrorRow {
  readonly source: ErrorSource
  readonly retry: Retry
  /** HTTP status of the response; 0 if no client waits for one. */
  readonly status: number
}

/** The codes are stable: logs and programs rely on them. */
export const ERRORS = {
  BAD_HOST: { source: 'client', retry: 'never', status: 400 },
  BAD_TARGET: { source: 'client', retry: 'never', status: 400 },
  AMBIGUOUS_PATH: { source: 'client', retry: 'never', status: 400 },
  BAD_FRAMING: { source: 'client', retry: 'never', status: 400 },
  WEBSOCKET_VERSION: { source: 'client', retry: 'never', status: 426 },
  FORBIDDEN: { source: 'client', retry: 'never', status: 403 },
  UNKNOWN_HOST: { source: 'client', retry: 'never', status: 404 },
  METHOD_NOT_ALLOWED: { source: 'client', retry: 'never', status: 405 },
  BODY_STALLED: { source: 'client', retry: 'never', status: 408 },
  BODY_TOO_LARGE: { source: 'client', retry: 'never', status: 413 },
  EXPECTATION_FAILED: { source: 'client', retry: 'never', status: 417 },
  MISDIRECTED: { source: 'client', retry: 'never', status: 421 },
  RATE_LIMITED: { source: 'client', retry: 'never', status: 429 },
  TOO_MANY_TUNNELS: { source: 'client', retry: 'never', status: 503 },
  HEADERS_TOO_LARGE: { source: 'client', retry: 'never', status: 431 },
  CLIENT_GONE: { source: 'client', retry: 'never', status: 0 },
  UPSTREAM_CONNECT: { source: 'upstream', retry: 'unreached', status: 502 },
  UPSTREAM_RESET: { source: 'upstream', retry: 'if-unanswered', status: 502 },
  UPSTREAM_PROTOCOL: { source: 'upstream', retry: 'never', status: 502 },
  UPSTREAM_TLS: { source: 'upstream', retry: 'never', status: 502 },
  UPSTREAM_CONNECT_TIMEOUT: { source: 'upstream', retry: 'unreached', status: 504 },
  UPSTREAM_NAME_TIMEOUT: { source: 'upstream', retry: 'unreached', status: 504 },
  UPSTREAM_QUEUE_TIMEOUT: { source: 'upstream', retry: 'never', status: 504 },
  UPSTREAM_TIMEOUT: { source: 'upstream', retry: 'never', status: 504 },
  UPSTREAM_TRUNCATED: { source: 'upstream', retry: 'never', status: 0 },
  UPSTREAM_MAX_CONNECTIONS: { source: 'upstream', retry: 'never', status: 503 },
  UPSTREAM_QUEUE_FULL: { source: 'upstream', retry: 'never', status: 503 },
  INTERNAL: { source: 'internal', retry: 'never', status: 500 },
  CONFIG: { source: 'operator', retry: 'never', status: 0 },
  BIND: { source: 'operator', retry: 'never', status: 0 },
  CERTIFICATE: { source: 'operator', retry: 'never', status: 0 },
  ACME: { source: 'operator', retry: 'never', status: 0 },
  CACHE: { source: 'operator', retry: 'never', status: 0 },
  WORKER_BOOT: { source: 'internal', retry: 'never', status: 0 },
  ADMIN: { source: 'operator', retry: 'never', status: 0 },
} as const satisfies Record<string, ErrorRow>

export type ErrorCode = keyof typeof ERRORS

export interface ProxyErrorOptions {
  readonly cause?: unknown
  /** Tells the operator what to do; never shown to clients. */
  readonly hint?: string
}

export class ProxyError extends Error {
  readonly code: ErrorCode
  readonly hint: string | undefined

  constructor(code: ErrorCode, message: string, { cause, hint }: ProxyErrorOptions = {}) {
    super(message, { cause })
    this.name = 'ProxyError'
    this.code = code
    this.hint = hint
  }
}

/** One line for operators: the message, then the hint in brackets if there is one. */
export function describeWithHint(error: unknown): string {
  if (error instanceof ProxyError && error.hint !== undefined) return `${error.message} (${error.hint})`
  return messageOf(error)
}
