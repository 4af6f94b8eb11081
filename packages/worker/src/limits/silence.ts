// Tells when the authority is silent: a request has waited 250 ms for its answer (SPEC 8).
// Sends nothing; an answer that comes after all ends the silence.
import type { Timers } from './timers.ts'

const SILENT_AFTER_MS = 250

export class SilenceWatch {
  readonly #timers: Timers
  readonly #onSilent: () => void
  /** When each request without an answer was sent, the oldest first. */
  readonly #unanswered = new Map<number, number>()
  #stopTimer: (() => void) | undefined
  #isSilent = false

  constructor(timers: Timers, onSilent: () => void) {
    this.#timers = timers
    this.#onSilent = onSilent
  }

  get isSilent(): boolean {
    return this.#isSilent
  }

  onSent(seq: number): void {
    this.#unanswered.set(seq, this.#timers.nowMs())
    this.#watch()
  }

  onAnswered(seq: number): void {
    this.#unanswered.delete(seq)
    if (this.#oldestAgeMs() < SILENT_AFTER_MS) {
      this.#isSilent = false
      this.#watch()
    }
  }

  close(): void {
    this.#stopTimer?.()
    this.#unanswered.clear()
    this.#isSilent = false
  }

  #oldestAgeMs(): number {
    for (const sentAtMs of this.#unanswered.values()) return this.#timers.nowMs() - sentAtMs
    return 0
  }

  #watch(): void {
    if (this.#stopTimer !== undefined || this.#isSilent || this.#unanswered.size === 0) return
    this.#stopTimer = this.#timers.after(SILENT_AFTER_MS - this.#oldestAgeMs(), () => {
      // If it was this process that stood still, the answer lies there and only needs to be read.
      this.#timers.soon(() => {
        this.#stopTimer = undefined
        if (this.#oldestAgeMs() < SILENT_AFTER_MS) {
          this.#watch()
        } else {
          this.#isSilent = true
          this.#onSilent()
        }
      })
    })
  }
}
