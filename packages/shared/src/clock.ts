// Clocks and timers as dependencies: code that depends on time takes one, so that tests control it.

export interface Clock {
  /** Milliseconds; those of the wall clock are since the Unix epoch and may jump. */
  nowMs(): number
}

/** The timers of a process. */
export interface Timers {
  /** Monotonic, milliseconds. */
  nowMs(): number
  /** Runs `run` after this turn of the event loop has handled all pending input. */
  soon(run: () => void): void
  /** Runs `run` once after `delayMs` without keeping the process alive. @returns a function that cancels it */
  after(delayMs: number, run: () => void): () => void
}

/** The form of a time in logs, reports and messages: ISO 8601 in UTC, `2026-01-02T03:04:05.678Z`. */
export function isoTime(timeMs: number): string {
  return new Date(timeMs).toISOString()
}

export const systemClock: Clock = { nowMs: () => Date.now() }

/** Never jumps and stands still while the machine is suspended. Used to supervise processes. */
export const monotonicClock: Clock = { nowMs: () => performance.now() }
