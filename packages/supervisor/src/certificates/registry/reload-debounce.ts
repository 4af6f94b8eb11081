// How long what a reload has changed waits before anything is ordered for it: whoever edits and reloads again and
// again wants one certificate, for the last set. Pure.
import { MINUTE_MS, SECOND_MS } from '@reverse-proxy/shared/time-units'

export interface ReloadPause {
  /** When the reload was, in milliseconds of timers. */
  readonly atMs: number
  readonly pauseMs: number
}

const SHORTEST_MS = 2 * SECOND_MS
/** Reloads that keep coming when an order has begun cut it short: they get ever longer pauses. */
const LONGEST_MS = MINUTE_MS
/** After this much quiet, the next reload is the first again. */
const FORGOTTEN_MS = 2 * MINUTE_MS

/** The pause after a reload at `nowMs`, given the one before it. */
export function pauseAfterReload(previous: ReloadPause | undefined, nowMs: number): ReloadPause {
  const sinceMs = previous === undefined ? Infinity : nowMs - previous.atMs
  if (previous === undefined || sinceMs >= FORGOTTEN_MS) return { atMs: nowMs, pauseMs: SHORTEST_MS }
  const hasBegun = sinceMs >= previous.pauseMs
  return { atMs: nowMs, pauseMs: hasBegun ? Math.min(previous.pauseMs * 2, LONGEST_MS) : previous.pauseMs }
}
