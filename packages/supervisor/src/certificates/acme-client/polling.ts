// Asks the CA again and again how far it is, at the pace it wants: RFC 8555 7.5.1 and 7.4.
import type { AcmeResponse } from './transport/response.ts'
import { isPassing } from './transport/patience.ts'
import { AcmeError } from './transport/problem.ts'
import { isRecord } from '@reverse-proxy/shared/json'
import type { WaitableClock } from '../../os/waitable-clock.ts'

const FIRST_PAUSE_MS = 500
const LONGEST_PAUSE_MS = 10_000
/** Upper bound of Retry-After between two polls. */
export const RETRY_AFTER_CEILING_MS = 60_000
/** Looks that may fail in a row: the order itself goes on at the CA. */
const TOLERATED_FAILURES = 3
/** RFC 9110 15.6: from here on the trouble is the server's. */
const SERVER_ERROR = 500
/** RFC 6585 4 */
const TOO_MANY_REQUESTS = 429

/** How a pause is made, and what ends it early. */
export interface Pausing {
  readonly clock: Pick<WaitableClock, 'timerMs' | 'sleep'>
  readonly signal: AbortSignal
}

export interface Poll extends Pausing {
  /** One look; rejects with AcmeError. */
  readonly look: () => Promise<AcmeResponse>
  /** Whether `status` will change no more, or is what was waited for. */
  readonly isFinal: (status: string) => boolean
  readonly limitMs: number
}

export interface PolledState {
  readonly status: string
  readonly resource: Readonly<Record<string, unknown>>
}

/** The first final state; undefined when `limitMs` has passed without one. */
export async function poll({ look, isFinal, limitMs, ...pausing }: Poll): Promise<PolledState | undefined> {
  const { clock } = pausing
  const giveUpMs = clock.timerMs() + limitMs
  for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS)) {
    const { data, retryAfterMs } = await persist(look, pausing, () => true)
    const state = stateOf(data)
    if (state !== undefined && isFinal(state.status)) return state
    const waitMs = paceOf(retryAfterMs, pauseMs)
    if (clock.timerMs() + waitMs > giveUpMs) return undefined
    await pause(waitMs, pausing)
  }
}

/**
 * Reads a resource that exists at the CA, and repeats the request after network and server errors. Rejects with the
 * last AcmeError; at once if the CA says that the resource does not exist.
 */
export async function retryRead(read: () => Promise<AcmeResponse>, pausing: Pausing): Promise<AcmeResponse> {
  return await persist(read, pausing, ({ responseStatus = SERVER_ERROR }) => {
    return responseStatus >= SERVER_ERROR || responseStatus === TOO_MANY_REQUESTS
  })
}

/** As `retryRead`, for a resource that is known to exist: every status is retried. */
export async function readUntilThere(
  read: () => Promise<AcmeResponse>,
  pausing: Pausing,
): Promise<AcmeResponse> {
  return await persist(read, pausing, () => true)
}

/** Waits before the request that failed with `error` is sent again, having failed `failures` times before. */
export async function pauseAfter(error: AcmeError, failures: number, pausing: Pausing): Promise<void> {
  await pause(paceOf(error.retryAfterMs, FIRST_PAUSE_MS * 2 ** failures), pausing)
}

async function persist(
  ask: () => Promise<AcmeResponse>,
  pausing: Pausing,
  isTolerable: (error: AcmeError) => boolean,
): Promise<AcmeResponse> {
  for (let failures = 0; ; failures++) {
    try {
      return await ask()
    } catch (error) {
      if (!(error instanceof AcmeError) || failures === TOLERATED_FAILURES || !isTolerable(error)) throw error
      // The transport has already waited for passing trouble.
      if (isPassing(error)) throw error
      // Left to the next attempt: a request before that time could make the wait longer.
      if ((error.retryAfterMs ?? 0) > RETRY_AFTER_CEILING_MS) throw error
      await pauseAfter(error, failures, pausing)
    }
  }
}

function paceOf(askedMs: number | undefined, ownMs: number): number {
  if (askedMs === undefined) return ownMs
  return Math.min(Math.max(askedMs, FIRST_PAUSE_MS), RETRY_AFTER_CEILING_MS)
}

async function pause(delayMs: number, { clock, signal }: Pausing): Promise<void> {
  await clock.sleep(delayMs, signal)
  signal.throwIfAborted()
}

/** A resource that says its status; undefined for anything else. */
export function stateOf(data: unknown): PolledState | undefined {
  if (!isRecord(data) || typeof data['status'] !== 'string') return undefined
  return { status: data['status'], resource: data }
}
