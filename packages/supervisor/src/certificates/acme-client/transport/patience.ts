// Which errors of a CA are temporary, and when a request is sent again after one.
import { AcmeError } from './problem.ts'
import type { WaitableClock } from '../../../os/waitable-clock.ts'

/** How often one request is sent, at most. */
export const REQUEST_TRIES = 4
/** RFC 8555 6.5; they cost nothing, and a CA of several machines may refuse a few in a row. */
const BAD_NONCE_TRIES = 6
/** From the first try on, after which there is no further one. */
const PATIENCE_MS = 90_000
/** A CA that asks for more is obeyed by the next attempt, not within this one. */
const LONGEST_RETRY_AFTER_MS = 60_000
const FIRST_PAUSE_MS = 1_000

const TOO_MANY_REQUESTS = 429
const REQUEST_TIMEOUT = 408
const SERVER_ERROR = 500
const NOT_IMPLEMENTED = 501
const UNAVAILABLE = 503

interface Tries {
  /** So far. */
  readonly count: number
  readonly limit: number
  /** Since the first one. */
  readonly spentMs: number
}

/** Milliseconds to wait before the request is sent again; undefined: the error is final. `random` is 0 to 1. */
function pauseBeforeRetry(error: unknown, tries: Tries, random: number): number | undefined {
  if (!(error instanceof AcmeError) || tries.count >= tries.limit || tries.spentMs >= PATIENCE_MS)
    return undefined
  if (!isPassing(error)) return undefined
  const { retryAfterMs } = error
  if (retryAfterMs !== undefined && retryAfterMs > LONGEST_RETRY_AFTER_MS) return undefined
  const ownMs = FIRST_PAUSE_MS * 2 ** (tries.count - 1) * (0.75 + random / 2)
  return Math.max(retryAfterMs ?? 0, ownMs)
}

export interface Persistence {
  readonly clock: Pick<WaitableClock, 'timerMs' | 'sleep'>
  readonly signal: AbortSignal
  /** How often to ask, at most. */
  readonly limit: number
}

/** Repeats a request after errors that may pass. `isRepeat`: an earlier request may have taken effect. */
export async function persist<Result>(
  ask: (isRepeat: boolean) => Promise<Result>,
  { clock, signal, limit }: Persistence,
): Promise<Result> {
  const startMs = clock.timerMs()
  let badNonces = 0
  let isRepeat = false
  for (let count = 1; ;) {
    try {
      return await ask(isRepeat)
    } catch (error) {
      signal.throwIfAborted()
      if (isBadNonce(error)) {
        if (++badNonces === BAD_NONCE_TRIES) throw error
        continue
      }
      const pauseMs = pauseBeforeRetry(
        error,
        { count, limit, spentMs: clock.timerMs() - startMs },
        Math.random(),
      )
      if (pauseMs === undefined) throw error
      count++
      isRepeat = true
      await clock.sleep(pauseMs, signal)
      signal.throwIfAborted()
    }
  }
}

function isBadNonce(error: unknown): boolean {
  return error instanceof AcmeError && error.problem?.type === 'badNonce'
}

/** The CA has too much to do, and asks us to be slower. */
export function isBusy({ responseStatus }: AcmeError): boolean {
  return responseStatus === TOO_MANY_REQUESTS || responseStatus === UNAVAILABLE
}

/** How long to send nothing to a busy CA (ms); undefined if it does not say, or asks for more than we wait. */
export function holdOf({ retryAfterMs }: AcmeError): number | undefined {
  return retryAfterMs !== undefined && retryAfterMs <= LONGEST_RETRY_AFTER_MS ? retryAfterMs : undefined
}

/** True for a transport error that may pass. Untrusted certificates and responses that are not HTTP do not pass. */
export function isPassingCode(code: string): boolean {
  return PASSING_CODES.has(code)
}

const PASSING_CODES = new Set([
  'EAI_AGAIN',
  'EAI_FAIL',
  'ECONNABORTED',
  'ECONNREFUSED',
  'ECONNRESET',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'EPIPE',
  'ERR_CANCELED',
  'ETIMEDOUT',
])

/** Busy or broken, or the exchange broke off on the way. */
export function isPassing({ responseStatus, isUnsettled }: AcmeError): boolean {
  if (responseStatus === undefined) return isUnsettled
  if (responseStatus === TOO_MANY_REQUESTS || responseStatus === REQUEST_TIMEOUT) return true
  return responseStatus >= SERVER_ERROR && responseStatus !== NOT_IMPLEMENTED
}
