// Time for code that must be testable without any passing.

export interface Timers {
  /** Monotonic. */
  nowMs(): number
  /** Once this turn of the event loop has dealt with what has arrived. */
  soon(run: () => void): void
  /** Once, after at least that time; keeps no process alive. Returns what calls it off. */
  after(delayMs: number, run: () => void): () => void
}

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
