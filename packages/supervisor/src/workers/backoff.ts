// How long a slot stays empty after its worker died. Pure.

const FIRST_DELAY_MS = 100
const LONGEST_DELAY_MS = 30_000
/** A worker that lived this long was healthy: its death resets the count. */
const HEALTHY_AFTER_MS = 60_000

export interface Backoff {
  /** Deaths in a row of workers that did not live long enough to be healthy. */
  readonly deaths: number
  /** The slot may be filled again from this time on (ms). */
  readonly retryAtMs: number
}

export const NO_BACKOFF: Backoff = { deaths: 0, retryAtMs: 0 }

/** The first replacement is immediate, the next ones wait 0.1 s, doubling to 30 s. */
export function afterDeath(previous: Backoff, bornAtMs: number, diedAtMs: number): Backoff {
  const deaths = diedAtMs - bornAtMs >= HEALTHY_AFTER_MS ? 1 : previous.deaths + 1
  const delayMs = deaths === 1 ? 0 : Math.min(FIRST_DELAY_MS * 2 ** (deaths - 2), LONGEST_DELAY_MS)
  return { deaths, retryAtMs: diedAtMs + delayMs }
}
