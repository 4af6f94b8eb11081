// Asks the supervisor whether a password is right. Remembers right ones for five minutes, by a keyed hash and never by
// the password, so that a page with a hundred images costs one comparison. Concurrent checks of a password share one
// message.
import { createHmac, randomBytes } from 'node:crypto'
import type { Timers } from '@reverse-proxy/shared/clock'
import type { PasswordCheck, PasswordQuestion, PasswordVerdict } from '@reverse-proxy/shared/ipc/messages'

const REMEMBERED_MS = 5 * 60_000
/** About 150 bytes each. */
const MAX_REMEMBERED = 10_000
/** Longer than the longest queue of the supervisor. */
const TIMEOUT_MS = 10_000
const UNAVAILABLE: PasswordVerdict = { kind: 'busy', retryAfterSecs: 5 }
const ACCEPTED: PasswordVerdict = { kind: 'accepted' }

interface Pending {
  readonly key: string
  readonly waiters: ((verdict: PasswordVerdict) => void)[]
  readonly stopTimer: () => void
}

export class PasswordChecks {
  readonly #send: (check: PasswordCheck) => void
  readonly #timers: Timers
  /** The random key of the hashes: without it, a leaked table does not help to guess passwords. */
  readonly #secret = randomBytes(32)
  /** When each is forgotten; the oldest comes first. */
  readonly #accepted = new Map<string, number>()
  readonly #pending = new Map<number, Pending>()
  readonly #seqOf = new Map<string, number>()
  #seq = 0

  constructor(send: (check: PasswordCheck) => void, timers: Timers) {
    this.#send = send
    this.#timers = timers
  }

  /** @returns the verdict if it is known; otherwise `onVerdict` is called with it later */
  check(
    question: PasswordQuestion,
    onVerdict: (verdict: PasswordVerdict) => void,
  ): PasswordVerdict | undefined {
    const key = this.#keyOf(question)
    const endMs = this.#accepted.get(key)
    if (endMs !== undefined && endMs > this.#timers.nowMs()) return ACCEPTED
    const earlier = this.#pending.get(this.#seqOf.get(key) ?? 0)
    if (earlier !== undefined) {
      earlier.waiters.push(onVerdict)
      return undefined
    }
    const seq = ++this.#seq
    const stopTimer = this.#timers.after(TIMEOUT_MS, () => this.onVerdict(seq, UNAVAILABLE))
    this.#pending.set(seq, { key, waiters: [onVerdict], stopTimer })
    this.#seqOf.set(key, seq)
    this.#send({ type: 'password-check', seq, ...question })
    return undefined
  }

  /** Has no effect on a check that has its verdict. */
  onVerdict(seq: number, verdict: PasswordVerdict): void {
    const pending = this.#pending.get(seq)
    if (pending === undefined) return
    pending.stopTimer()
    this.#pending.delete(seq)
    this.#seqOf.delete(pending.key)
    if (verdict.kind === 'accepted') this.#remember(pending.key)
    for (const waiter of pending.waiters) waiter(verdict)
  }

  /** Forgets everything, because the files may have changed. */
  forget(): void {
    this.#accepted.clear()
  }

  #remember(key: string): void {
    this.#accepted.delete(key)
    this.#accepted.set(key, this.#timers.nowMs() + REMEMBERED_MS)
    for (const oldest of this.#accepted.keys()) {
      if (this.#accepted.size <= MAX_REMEMBERED) break
      this.#accepted.delete(oldest)
    }
  }

  /** Includes the client, so that one that guesses learns nothing from the logins of another. */
  #keyOf({ file, client, user, password }: PasswordQuestion): string {
    return createHmac('sha256', this.#secret)
      .update(JSON.stringify([file, client, user, password]))
      .digest('base64')
  }
}
