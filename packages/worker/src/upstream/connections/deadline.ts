// A deadline that is set anew for every request. One timer for all of them: it is moved when the deadline is,
// and when it is off runs on without meaning anything, since to make one and clear it costs more.

export class Deadline {
  readonly #onExpired: () => void
  #timer: NodeJS.Timeout | undefined
  #timeoutMs = 0
  #isOn = false

  constructor(onExpired: () => void) {
    this.#onExpired = onExpired
  }

  /** From now on; instead of when it was set before. */
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

  /** For good. */
  close(): void {
    this.#isOn = false
    clearTimeout(this.#timer)
  }
}
