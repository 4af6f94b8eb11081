// What went wrong with an upstream, in our own words: undici and the runtime have a code for
// everything, and the client and the log need few. Pure.
import { codeOf } from '@reverse-proxy/shared/error-text'
import type { ErrorCode } from '@reverse-proxy/shared/errors'
import { ProxyError } from '@reverse-proxy/shared/errors'

export interface UpstreamFault {
  readonly code: ErrorCode
  /** For the log; stable. */
  readonly words: string
}

const WORDS_BY_CAUSE: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connection refused',
  ENOTFOUND: 'name not found',
  EAI_AGAIN: 'name not found',
  EHOSTUNREACH: 'unreachable',
  ENETUNREACH: 'unreachable',
  ECONNRESET: 'reset',
}

const WORDS_BY_CODE: Readonly<Partial<Record<ErrorCode, string>>> = {
  UPSTREAM_CONNECT_TIMEOUT: 'connect timeout',
  UPSTREAM_TIMEOUT: 'timeout',
  UPSTREAM_QUEUE_FULL: 'queue full',
  UPSTREAM_QUEUE_TIMEOUT: 'queue timeout',
}

const FAULTS: Readonly<Record<string, UpstreamFault>> = {
  UND_ERR_HEADERS_TIMEOUT: { code: 'UPSTREAM_TIMEOUT', words: 'timeout' },
  UND_ERR_BODY_TIMEOUT: { code: 'UPSTREAM_TIMEOUT', words: 'timeout' },
  UND_ERR_HEADERS_OVERFLOW: { code: 'UPSTREAM_PROTOCOL', words: 'response header section too large' },
  UND_ERR_RES_CONTENT_LENGTH_MISMATCH: { code: 'UPSTREAM_TRUNCATED', words: 'truncated' },
  UND_ERR_SOCKET: { code: 'UPSTREAM_RESET', words: 'closed' },
  // Not a word of ours reached the upstream: undici found something in the request that nobody may send.
  UND_ERR_INVALID_ARG: { code: 'BAD_FRAMING', words: 'unsendable request' },
  UND_ERR_NOT_SUPPORTED: { code: 'BAD_FRAMING', words: 'unsendable request' },
  // The client's body did not have the length it declared.
  UND_ERR_REQ_CONTENT_LENGTH_MISMATCH: { code: 'BAD_FRAMING', words: 'unsendable request' },
  ECONNRESET: { code: 'UPSTREAM_RESET', words: 'reset' },
  EPIPE: { code: 'UPSTREAM_RESET', words: 'reset' },
}

/** Also of a length that is contradicted within the head: nothing has been cut then. */
export const BAD_RESPONSE: UpstreamFault = { code: 'UPSTREAM_PROTOCOL', words: 'bad response' }

/** The same, to be thrown. */
export function badResponse(): ProxyError {
  return new ProxyError(BAD_RESPONSE.code, BAD_RESPONSE.words)
}

export function upstreamFault(error: unknown): UpstreamFault {
  if (error instanceof ProxyError) return { code: error.code, words: wordsOf(error) }
  return FAULTS[codeOf(error) ?? ''] ?? BAD_RESPONSE
}

function wordsOf(error: ProxyError): string {
  if (error.code === 'UPSTREAM_CONNECT')
    return WORDS_BY_CAUSE[codeOf(error.cause) ?? ''] ?? 'connection failed'
  if (error.code === 'UPSTREAM_TLS') return `tls: ${codeOf(error.cause) || 'failed'}`
  return WORDS_BY_CODE[error.code] ?? error.message
}
