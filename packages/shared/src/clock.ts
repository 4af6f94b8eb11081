// Time as a dependency: whatever decides by the clock is given one, so that tests own it.

export interface Clock {
  /** Wall clock, milliseconds since the Unix epoch; may jump. */
  nowMs(): number
}

export const systemClock: Clock = { nowMs: () => Date.now() }
