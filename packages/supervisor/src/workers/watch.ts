// The clock that deadlines of workers are measured by. It counts the time in which the supervisor was able to hear
// its workers, and stands still while it was not: during a fork, or while the machine did not let it run.
import type { Clock } from '@reverse-proxy/shared/clock'

/** The time counted so far (ms), and the span (ms, underlying clock) over which it continues. */
export interface Watch {
  readonly countedMs: number
  readonly sinceMs: number
  readonly untilMs: number
}

/** Below this, a wait could be lost to rounding and never end. */
const SHORTEST_WAIT_MS = 1

export function readWatch({ countedMs, sinceMs, untilMs }: Watch, nowMs: number): number {
  return countedMs + Math.max(0, Math.min(nowMs, untilMs) - sinceMs)
}

/** Nothing is counted from now on. */
export function paused(watch: Watch, nowMs: number): Watch {
  return { countedMs: readWatch(watch, nowMs), sinceMs: nowMs, untilMs: nowMs }
}

/** The time from now on is counted, but for `waitMs` at most: whoever looks later than that was late himself. */
export function resumed(watch: Watch, nowMs: number, waitMs: number): Watch {
  const untilMs = nowMs + Math.max(waitMs, SHORTEST_WAIT_MS)
  return { countedMs: readWatch(watch, nowMs), sinceMs: nowMs, untilMs }
}

export class WatchClock implements Clock {
  readonly #clock: Clock
  #watch: Watch

  /** It begins paused, at the time of `clock`. */
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
