// Time as a dependency: code that decides by time takes a clock, so that tests control it.

export interface Clock {
  /** Milliseconds: since the Unix epoch for the wall clock, which may jump. */
  nowMs(): number
}

/** Timers of a process; a test may provide its own. */
export interface Timers {
  /** Monotonic, milliseconds. */
  nowMs(): number
  /** Runs `run` after this turn of the event loop has handled what has arrived. */
  soon(run: () => void): void
  /** Runs `run` once after `delayMs` without keeping the process alive. @returns a function that cancels it */
  after(delayMs: number, run: () => void): () => void
}

/** A moment of the wall clock as logs, reports and messages give it: ISO 8601, UTC, `2026-01-02T03:04:05.678Z`. */
export function isoTime(timeMs: number): string {
  return new Date(timeMs).toISOString()
}

export const systemClock: Clock = { nowMs: () => Date.now() }

/** Never jumps, and stands still while the machine is suspended; the supervision of processes uses this one. */
export const monotonicClock: Clock = { nowMs: () => performance.now() }
