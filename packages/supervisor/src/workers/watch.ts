// The clock for the deadlines of workers. It counts only time in which the supervisor could read their messages, and
// stands still during a fork or while the machine did not run the supervisor.
import type { Clock } from '@reverse-proxy/shared/clock'

/** The time counted so far (ms), and the span (ms, underlying clock) over which it continues. */
export interface Watch {
  readonly countedMs: number
  readonly sinceMs: number
  readonly untilMs: number
}

/** A shorter wait could be lost to rounding and never end. */
const SHORTEST_WAIT_MS = 1

export function readWatch({ countedMs, sinceMs, untilMs }: Watch, nowMs: number): number {
  return countedMs + Math.max(0, Math.min(nowMs, untilMs) - sinceMs)
}

/** Stops counting. */
export function paused(watch: Watch, nowMs: number): Watch {
  return { countedMs: readWatch(watch, nowMs), sinceMs: nowMs, untilMs: nowMs }
}

/** Counts time from now on, `waitMs` at most: any time beyond that is a delay of the supervisor itself. */
export function resumed(watch: Watch, nowMs: number, waitMs: number): Watch {
  const untilMs = nowMs + Math.max(waitMs, SHORTEST_WAIT_MS)
  return { countedMs: readWatch(watch, nowMs), sinceMs: nowMs, untilMs }
}

export class WatchClock implements Clock {
  readonly #clock: Clock
  #watch: Watch

  /** Starts paused, at the time of `clock`. */
  constructor(clock: Clock) {
    this.#clock = clock
    const nowMs = clock.nowMs()
    this.#watch = { countedMs: nowMs, sinceMs: nowMs, untilMs: nowMs }
  }

  nowMs(): number {
    return readWatch(this.#watch, this.#clock.nowMs())
  }

  pause(): void {
    this.#watch = paused(this.#watch, this.#clock.nowMs())
  }

  /** Returns when to pause again (ms, the underlying clock): time after that is not counted. */
  resume(waitMs: number): number {
    this.#watch = resumed(this.#watch, this.#clock.nowMs(), waitMs)
    return this.#watch.untilMs
  }
}
