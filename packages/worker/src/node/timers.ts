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

/** Milliseconds since the start of this process; monotonic. */
export function nowMs(): number {
  return performance.now()
}
