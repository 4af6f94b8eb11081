// Maps the many error codes of the runtime to the few failures of an upstream that clients and logs need. Pure.
import { codeOf } from '@reverse-proxy/shared/error-text'
import type { ErrorCode } from '@reverse-proxy/shared/errors'
import { ProxyError } from '@reverse-proxy/shared/errors'
import { BAD_RESPONSE } from '../http1/bad-response.ts'

export interface UpstreamFault {
  readonly code: ErrorCode
  /** For the log; stable. */
  readonly words: string
}

const WORDS_BY_CAUSE: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connection refused',
  ENOTFOUND: 'name not found',
  EAI_FAIL: 'name look-up failed',
  EHOSTUNREACH: 'unreachable',
  ENETUNREACH: 'unreachable',
  ECONNRESET: 'reset',
}

const WORDS_BY_CODE: Readonly<Partial<Record<ErrorCode, string>>> = {
  UPSTREAM_CONNECT_TIMEOUT: 'connect timeout',
  UPSTREAM_NAME_TIMEOUT: 'name look-up timeout',
  UPSTREAM_TIMEOUT: 'timeout',
  UPSTREAM_MAX_CONNECTIONS: 'max connections',
  UPSTREAM_QUEUE_FULL: 'queue full',
  UPSTREAM_QUEUE_TIMEOUT: 'queue timeout',
}

const FAULTS: Readonly<Record<string, UpstreamFault>> = {
  ECONNRESET: { code: 'UPSTREAM_RESET', words: 'reset' },
  EPIPE: { code: 'UPSTREAM_RESET', words: 'reset' },
}

/** The reason why an established connection was lost. */
export function connectionFailure(cause: Error): ProxyError {
  const words = FAULTS[codeOf(cause) ?? '']?.words ?? 'connection failed'
  return new ProxyError('UPSTREAM_RESET', words, { cause })
}

export function upstreamFault(error: unknown): UpstreamFault {
  if (error instanceof ProxyError) return { code: error.code, words: wordsOf(error) }
  return FAULTS[codeOf(error) ?? ''] ?? { code: 'UPSTREAM_PROTOCOL', words: BAD_RESPONSE }
}

function wordsOf(error: ProxyError): string {
  if (error.code === 'UPSTREAM_CONNECT')
    return WORDS_BY_CAUSE[codeOf(error.cause) ?? ''] ?? 'connection failed'
  if (error.code === 'UPSTREAM_TLS') return `tls: ${codeOf(error.cause) || 'failed'}`
  return WORDS_BY_CODE[error.code] ?? error.message
}
