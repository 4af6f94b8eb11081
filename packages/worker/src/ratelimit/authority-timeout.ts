// Notices that the authority does not answer: a request has waited 250 ms for its grant. A late grant ends the timeout.
import type { Timers } from '@reverse-proxy/shared/clock'

const TIMEOUT_MS = 250

export class AuthorityTimeout {
  readonly #timers: Timers
  readonly #onAuthorityTimeout: () => void
  /** Send time of each unanswered request, by sequence number, oldest first. */
  readonly #unanswered = new Map<number, number>()
  #stopTimer: (() => void) | undefined
  #isTimedOut = false

  constructor(timers: Timers, onAuthorityTimeout: () => void) {
    this.#timers = timers
    this.#onAuthorityTimeout = onAuthorityTimeout
  }

  get isTimedOut(): boolean {
    return this.#isTimedOut
  }

  onSent(seq: number): void {
    this.#unanswered.set(seq, this.#timers.nowMs())
    this.#watch()
  }

  onAnswered(seq: number): void {
    this.#unanswered.delete(seq)
    if (this.#oldestAgeMs() < TIMEOUT_MS) {
      this.#isTimedOut = false
      this.#watch()
    }
  }

  close(): void {
    this.#stopTimer?.()
    this.#unanswered.clear()
    this.#isTimedOut = false
  }

  #oldestAgeMs(): number {
    for (const sentAtMs of this.#unanswered.values()) return this.#timers.nowMs() - sentAtMs
    return 0
  }

  #watch(): void {
    if (this.#stopTimer !== undefined || this.#isTimedOut || this.#unanswered.size === 0) return
    this.#stopTimer = this.#timers.after(TIMEOUT_MS - this.#oldestAgeMs(), () => {
      // If this process itself was stalled, the grant may be waiting to be read.
      this.#timers.soon(() => {
        this.#stopTimer = undefined
        if (this.#oldestAgeMs() < TIMEOUT_MS) {
          this.#watch()
        } else {
          this.#isTimedOut = true
          this.#onAuthorityTimeout()
        }
      })
    })
  }
}
