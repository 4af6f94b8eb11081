// Whether a request that failed is sent again. Pure.
import { ERRORS, type ErrorCode } from '@reverse-proxy/shared/errors'

export interface Failure {
  readonly code: ErrorCode
  /** `unsent`: nothing of the request has been written; `sent`: some may have been read; `answered`: a byte of the response has come. */
  readonly phase: 'unsent' | 'sent' | 'answered'
  /** The connection had served another request before: the peer may have closed it as idle. */
  readonly isReused: boolean
  /** The request has no body and an idempotent method (RFC 9110 9.2.2). */
  readonly isRepeatable: boolean
  /** How often the request has been sent again. */
  readonly retries: number
}

/** `fresh`: on a connection that no request has used yet. */
export type AfterFailure = 'fail' | 'fresh'

export function afterFailure({ code, phase, isReused, isRepeatable, retries }: Failure): AfterFailure {
  const isSafe = phase === 'unsent' || (phase === 'sent' && isRepeatable)
  return isSafe && isReused && retries === 0 && ERRORS[code].retry === 'if-reused' ? 'fresh' : 'fail'
}
