// The timers of this process, as a dependency that tests replace.
import type { Timers } from '@reverse-proxy/shared/clock'

export const systemTimers: Timers = {
  nowMs,
  soon: (run) => void setImmediate(run),
  after: (delayMs, run) => {
    const timer = setTimeout(run, delayMs).unref()
    return () => clearTimeout(timer)
  },
}

/** If a tick is so late, the process was stopped, or the machine had no time for it. */
const STANDSTILL_MS = 500
const TICK_MS = 50

/** Whether the process stood still in the time between two ticks of a short interval. */
export function stoodStill(sinceLastTickMs: number): boolean {
  return sinceLastTickMs > STANDSTILL_MS
}

/**
 * Calls `run` after `delayMs`, not counting the time in which the process stood still, so that input that has arrived
 * meanwhile is read first. Does not keep the process alive. Ticks often, so it is not for use in every connection.
 */
export function afterAwake(delayMs: number, run: () => void): void {
  let tickedMs = nowMs()
  let leftMs = delayMs
  const ticks = setInterval(
    () => {
      const sinceMs = nowMs() - tickedMs
      tickedMs += sinceMs
      if (!stoodStill(sinceMs)) leftMs -= sinceMs
      if (leftMs > 0) return
      clearInterval(ticks)
      run()
    },
    Math.min(TICK_MS, delayMs),
  ).unref()
}

/** How often deadlines that are data are checked. */
export const SWEEP_INTERVAL_MS = 1_000

/** Milliseconds since the start of this process; monotonic. */
export function nowMs(): number {
  return performance.now()
}
