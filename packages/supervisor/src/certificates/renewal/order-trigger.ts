// Why an attempt is made, and whether that is reason enough so soon after the last one failed. Pure.
import { isoTime } from '@reverse-proxy/shared/clock'
import { ProxyError } from '@reverse-proxy/shared/errors'
import type { FailureRecord } from './failure-record.ts'

export type OrderTrigger =
  /** Nothing can be served before it. */
  | 'start'
  | 'renewal'
  /** The operator asked for it, due or not. */
  | 'demand'

export interface LastAttempt {
  readonly failure: FailureRecord | undefined
  readonly nowMs: number
  /** Where the failure is recorded. */
  readonly path: string
}

/**
 * Throws RetryLaterError if the attempt has to wait. At a start: something may be restarting us in a loop.
 * On demand: only the CA's own Retry-After counts.
 */
export function assertDue(reason: OrderTrigger, { failure, nowMs, path }: LastAttempt): void {
  if (failure === undefined) return
  const { nextAttemptMs, caWaitUntilMs = 0, reachedCa, reason: said } = failure
  // A CA that could not be reached has counted nothing.
  if (reason === 'start' && !reachedCa) return
  if (reason === 'demand') {
    if (nowMs >= caWaitUntilMs) return
    throw new RetryLaterError(
      `the CA asks to wait until ${isoTime(caWaitUntilMs)}. It said: ${said}`,
      'an order before that time could only make it longer; after it, orders go on by themselves',
    )
  }
  if (nowMs >= nextAttemptMs) return
  throw new RetryLaterError(
    `no certificate yet: the last attempt failed, and the next is due at ${isoTime(nextAttemptMs)}. It said: ${said}`,
    `mend the cause and start again after that time; to try at once, remove ${path}`,
  )
}

/** Throws RetryLaterError if recently issued certificates could not be used: the next one hardly could. */
export function assertStartAllowed(nowMs: number, allowedMs: number): void {
  if (nowMs >= allowedMs) return
  throw new RetryLaterError(
    `no certificate yet: several were issued of late, and none can be used now; the next is due at ${isoTime(allowedMs)}`,
    "is this machine's clock right (NTP)? To order at once, remove renewal.json from tls.acme_cache_dir",
  )
}

/** Not a failure of its own: a waiting time is not over. */
export class RetryLaterError extends ProxyError {
  constructor(message: string, hint: string) {
    super('ACME', message, { hint })
  }
}
