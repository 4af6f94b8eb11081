// Decides whether a failed request is tried again, and where. Pure.
import { ERRORS, type ErrorCode } from '@reverse-proxy/shared/errors'

export interface Failure {
  readonly code: ErrorCode
  /**
   * `unsent`: nothing of the request has been written; `sent`: the peer may have read some of it; `answered`: a byte of
   * the response has arrived.
   */
  readonly phase: 'unsent' | 'sent' | 'answered'
  /** The connection had served another request before, so the peer may have closed it as idle. */
  readonly isReused: boolean
  /** The request has no body and an idempotent method (RFC 9110 9.2.2). */
  readonly isRepeatable: boolean
}

export interface AttemptsSoFar {
  /** The request has been sent to the peer on a fresh connection, because another connection had failed. */
  readonly isFresh: boolean
  /** There is a peer that the request has not been sent to. */
  readonly hasOther: boolean
  /** There is time to try all peers again. */
  readonly hasTime: boolean
}

/** `fresh`: the same peer on a new connection; `other`: another peer; `later`: all peers again, after a pause. */
export type NextAttempt = 'fail' | 'fresh' | 'other' | 'later'

export function nextAttempt(
  { code, phase, isReused, isRepeatable }: Failure,
  { isFresh, hasOther, hasTime }: AttemptsSoFar,
): NextAttempt {
  const { retry } = ERRORS[code]
  if (retry === 'unreached') return hasOther ? 'other' : hasTime ? 'later' : 'fail'
  const isSafe = phase === 'unsent' || (phase === 'sent' && isRepeatable)
  if (retry === 'never' || !isSafe) return 'fail'
  if (isReused && !isFresh) return 'fresh'
  return hasOther ? 'other' : 'fail'
}
