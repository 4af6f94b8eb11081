// Time as a dependency: whatever decides by the clock is given one, so that tests own it.

export interface Clock {
  /** Wall clock, milliseconds since the Unix epoch; may jump. */
  nowMs(): number
}

/** A moment of the wall clock as logs, reports and messages give it: ISO 8601, UTC, `2026-01-02T03:04:05.678Z`. */
export function isoTime(timeMs: number): string {
  return new Date(timeMs).toISOString()
}

export const systemClock: Clock = { nowMs: () => Date.now() }
