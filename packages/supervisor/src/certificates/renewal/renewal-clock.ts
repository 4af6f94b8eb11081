// The clock of one listener's renewal: the machine's time for the dates of certificates, and a monotonic time for
// waits, so that setting the machine's clock neither shortens a wait nor makes it longer.
import { MINUTE_MS } from '@reverse-proxy/shared/time-units'
import type { WaitableClock } from '../../os/waitable-clock.ts'

/** Wall clock and timers differ by more than this only if the clock was set or the machine was suspended. */
const JUMP_MS = MINUTE_MS

export class RenewalClock implements WaitableClock {
  readonly #wall: WaitableClock
  /** Wall clock minus timers at the start. */
  readonly #epochMs: number

  constructor(wall: WaitableClock) {
    this.#wall = wall
    this.#epochMs = wall.nowMs() - wall.timerMs()
  }

  nowMs(): number {
    return this.#wall.nowMs()
  }

  timerMs(): number {
    return this.#wall.timerMs()
  }

  async sleep(delayMs: number, signal: AbortSignal): Promise<void> {
    await this.#wall.sleep(delayMs, signal)
  }

  /** The wall clock as if nobody had set it since the start (ms). Waits are measured by it. */
  monotonicMs(): number {
    return Math.round(this.#epochMs + this.#wall.timerMs())
  }

  /** Offset from monotonic to wall-clock time, for records, people and dates of certificates (ms). */
  get wallOffsetMs(): number {
    const offsetMs = this.#wall.nowMs() - this.monotonicMs()
    return Math.abs(offsetMs) > JUMP_MS ? offsetMs : 0
  }

  toWallTime(monotonicMs: number): number {
    return monotonicMs + this.wallOffsetMs
  }
}
