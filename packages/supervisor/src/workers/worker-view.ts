// One worker as the plan sees it, and when a healthy worker is due for replacement because it is large or old. Pure;
// recycling is off unless configured.
import type { RecycleLimits } from '@reverse-proxy/shared/config/config'

/** booting: forked, not bound yet. ready: serving. draining: told to finish and exit. */
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
  /** It has been told to end now, and is about to exit by itself. */
  readonly wasCut: boolean
  /** SIGKILL was sent; its exit is on the way. */
  readonly killed: boolean
  /** As last reported. */
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
