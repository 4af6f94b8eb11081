// Asks the CA again and again how far it is, at the pace it wants: RFC 8555 7.5.1 and 7.4.
import { setTimeout as sleep } from 'node:timers/promises'
import type { AcmeReply } from './acme-answer.ts'
import { AcmeError } from './acme-problem.ts'
import { isRecord } from './json.ts'

const FIRST_PAUSE_MS = 500
const LONGEST_PAUSE_MS = 10_000
/** Of what Retry-After asks between two looks. */
const RETRY_AFTER_CEILING_MS = 60_000
/** Looks that may fail in a row: the order itself goes on at the CA. */
const TOLERATED_FAILURES = 3
/** RFC 9110 15.6: from here on the trouble is the server's. */
const SERVER_ERROR = 500

export interface Poll {
  /** One look; rejects with AcmeError. */
  readonly look: () => Promise<AcmeReply>
  /** Whether `status` will change no more, or is what was waited for. */
  readonly isFinal: (status: string) => boolean
  readonly limitMs: number
  readonly signal: AbortSignal
}

export interface PolledState {
  readonly status: string
  readonly resource: Readonly<Record<string, unknown>>
}

/** The first final state; undefined when `limitMs` has passed without one. */
export async function poll({ look, isFinal, limitMs, signal }: Poll): Promise<PolledState | undefined> {
  const giveUpMs = performance.now() + limitMs
  let failures = 0
  for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS)) {
    let askedMs: number | undefined
    try {
      const reply = await look()
      failures = 0
      askedMs = reply.retryAfterMs
      const state = stateOf(reply.data)
      if (state !== undefined && isFinal(state.status)) return state
    } catch (error) {
      if (!(error instanceof AcmeError) || ++failures > TOLERATED_FAILURES) throw error
      askedMs = error.retryAfterMs
    }
    const waitMs =
      askedMs === undefined ? pauseMs : Math.min(Math.max(askedMs, FIRST_PAUSE_MS), RETRY_AFTER_CEILING_MS)
    if (performance.now() + waitMs > giveUpMs) return undefined
    await sleep(waitMs, undefined, { signal }).catch(() => {})
    signal.throwIfAborted()
  }
}

/**
 * Reads what the CA has already made: one request that fails, on the way or by a server in trouble, is no reason to
 * give up what has been paid for. Rejects with the last AcmeError; at once when the CA says that there is no such thing.
 */
export async function readPatiently(read: () => Promise<AcmeReply>, signal: AbortSignal): Promise<AcmeReply> {
  for (let failures = 0, pauseMs = FIRST_PAUSE_MS; ; pauseMs *= 2) {
    try {
      return await read()
    } catch (error) {
      if (!(error instanceof AcmeError) || ++failures > TOLERATED_FAILURES) throw error
      if ((error.answerStatus ?? SERVER_ERROR) < SERVER_ERROR) throw error
      await sleep(pauseMs, undefined, { signal }).catch(() => {})
      signal.throwIfAborted()
    }
  }
}

/** A resource that says its status; undefined for anything else. */
export function stateOf(data: unknown): PolledState | undefined {
  if (!isRecord(data) || typeof data['status'] !== 'string') return undefined
  return { status: data['status'], resource: data }
}
