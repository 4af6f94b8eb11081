// The inputs of the plan: one worker, when a healthy worker is due for replacement because it is large or old, and how
// long a slot stays empty after its worker died. Pure; recycling is off unless configured.
import type { RecycleLimits } from '@reverse-proxy/shared/config/config'

/** booting: forked, has not bound its ports. ready: serves. draining: finishes its requests, then exits. */
export type WorkerStage = 'booting' | 'ready' | 'draining'

export interface WorkerView {
  readonly pid: number
  readonly slot: number
  readonly generation: number
  readonly stage: WorkerStage
  readonly bornAtMs: number
  /** It has been sent its configuration: from now on it may have accepted connections. */
  readonly started: boolean
  /** When it must have left its stage (ms); Infinity when ready. */
  readonly deadlineMs: number
  /** Time of its last heartbeat (ms). */
  readonly lastHeartbeatMs: number
  /** It may still accept connections; false once it has reported, while draining, that it does not. */
  readonly accepting: boolean
  /** It was asked to exit at once. */
  readonly wasCut: boolean
  /** SIGKILL was sent. */
  readonly killed: boolean
  /** As reported with its last heartbeat. */
  readonly rssBytes: number
  /** 0 to 1, drawn once for each worker, so that workers of the same age are not all replaced at the same time. */
  readonly jitter: number
}

/** Minimum lifetime: a limit that every worker exceeds at once must not cause a loop. */
const YOUNGEST_MS = 60_000
/** Spread of the maximum age, towards earlier. */
const SPREAD = 0.1

/** The time from which the worker is due for replacement (ms, the fleet's clock); Infinity if no limit applies yet. */
export function recycleAtMs(
  { bornAtMs, rssBytes, jitter }: Pick<WorkerView, 'bornAtMs' | 'rssBytes' | 'jitter'>,
  { maxRssBytes, maxAgeMs }: RecycleLimits,
): number {
  const earliestMs = bornAtMs + YOUNGEST_MS
  if (maxRssBytes !== undefined && rssBytes > maxRssBytes) return earliestMs
  if (maxAgeMs === undefined) return Infinity
  return Math.max(earliestMs, bornAtMs + maxAgeMs * (1 - SPREAD * jitter))
}

const FIRST_DELAY_MS = 100
const LONGEST_DELAY_MS = 30_000
/** A worker that lived this long was healthy: its death resets the count. */
const HEALTHY_AFTER_MS = 60_000

export interface Backoff {
  /** Deaths in a row of workers that did not live long enough to be healthy. */
  readonly deaths: number
  /** The slot may be filled again from this time on (ms). */
  readonly retryAtMs: number
}

export const NO_BACKOFF: Backoff = { deaths: 0, retryAtMs: 0 }

/** The first replacement is immediate, the next ones wait 0.1 s, doubling to 30 s. */
export function afterDeath(previous: Backoff, bornAtMs: number, diedAtMs: number): Backoff {
  const deaths = diedAtMs - bornAtMs >= HEALTHY_AFTER_MS ? 1 : previous.deaths + 1
  const delayMs = deaths === 1 ? 0 : Math.min(FIRST_DELAY_MS * 2 ** (deaths - 2), LONGEST_DELAY_MS)
  return { deaths, retryAtMs: diedAtMs + delayMs }
}
