// A deadline that is set anew for every request. Setting it writes down a time; the timer that runs anyway finds out, when
// it fires, how much of that is left. To move the timer each time would cost more than all else about a deadline.
import { nowMs } from '../../node/timers.ts'

export class Deadline {
  readonly #onExpired: () => void
  #timer: NodeJS.Timeout | undefined
  /** When the timer fires. */
  #firesMs = 0
  #dueMs = 0
  #isOn = false

  constructor(onExpired: () => void) {
    this.#onExpired = onExpired
  }

  /** Sets the deadline to `timeoutMs` from now; replaces an earlier one. */
  set(timeoutMs: number): void {
    this.#isOn = true
    this.#dueMs = nowMs() + timeoutMs
    if (this.#timer !== undefined && this.#firesMs <= this.#dueMs) return
    clearTimeout(this.#timer)
    this.#start(timeoutMs)
  }

  off(): void {
    this.#isOn = false
  }

  /** Ends the timer. The deadline cannot be used again. */
  close(): void {
    this.#isOn = false
    clearTimeout(this.#timer)
  }

  #start(delayMs: number): void {
    this.#firesMs = this.#dueMs
    this.#timer = setTimeout(() => {
      this.#timer = undefined
      if (!this.#isOn) return
      const leftMs = this.#dueMs - nowMs()
      if (leftMs > 0) {
        this.#start(leftMs)
        return
      }
      this.#isOn = false
      this.#onExpired()
    }, delayMs)
  }
}
