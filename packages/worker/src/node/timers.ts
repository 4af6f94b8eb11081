// The timers of this process, for code whose time tests own.
import type { Timers } from '@reverse-proxy/shared/clock'

export const systemTimers: Timers = {
  nowMs,
  soon: (run) => void setImmediate(run),
  after: (delayMs, run) => {
    const timer = setTimeout(run, delayMs).unref()
    return () => clearTimeout(timer)
  },
}

/** Milliseconds since this process began; monotonic. */
export function nowMs(): number {
  return performance.now()
}
