// A deadline that is set again for every request, with one timer for all of them. Setting the deadline moves the timer;
// without a deadline it keeps running and does nothing, because creating and clearing a timer costs more.

export class Deadline {
  readonly #onExpired: () => void
  #timer: NodeJS.Timeout | undefined
  #timeoutMs = 0
  #isOn = false

  constructor(onExpired: () => void) {
    this.#onExpired = onExpired
  }

  /** Sets the deadline to `timeoutMs` from now; replaces an earlier one. */
  set(timeoutMs: number): void {
    this.#isOn = true
    if (this.#timer !== undefined && this.#timeoutMs === timeoutMs) {
      this.#timer.refresh()
      return
    }
    clearTimeout(this.#timer)
    this.#timeoutMs = timeoutMs
    this.#timer = setTimeout(() => {
      if (!this.#isOn) return
      this.#isOn = false
      this.#onExpired()
    }, timeoutMs)
  }

  off(): void {
    this.#isOn = false
  }

  /** Ends the timer. The deadline cannot be used again. */
  close(): void {
    this.#isOn = false
    clearTimeout(this.#timer)
  }
}
