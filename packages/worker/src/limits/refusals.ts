// Clients that have been refused and need not be asked about for a while. Bounded: forgetting a refusal
// costs a question to the authority, nothing else. Pure.
import { MapCursor } from './map-cursor.ts'

const MAX_REFUSALS = 65_536
/** For each refusal remembered, this many others are looked at. */
const SWEPT_PER_REFUSAL = 2

interface Refusal {
  readonly askAgainAtMs: number
  readonly tokenAtMs: number
}

export class Refusals {
  readonly #refusals = new Map<string, Refusal>()
  readonly #cursor = new MapCursor(this.#refusals)

  get size(): number {
    return this.#refusals.size
  }

  /**
   * @param tokenAtMs when the client can have a token: what Retry-After says
   * @param askAgainAtMs the refusal holds until then; not later than `tokenAtMs`
   */
  remember(key: string, tokenAtMs: number, askAgainAtMs: number, nowMs: number): void {
    this.#sweep(nowMs)
    this.#refusals.set(key, { tokenAtMs, askAgainAtMs })
  }

  /** Whole seconds until a token, at least 1; 0: nothing is known against `key`. */
  retryAfterSecs(key: string, nowMs: number): number {
    const refusal = this.#refusals.get(key)
    if (refusal === undefined) return 0
    if (nowMs < refusal.askAgainAtMs) return wholeSeconds(refusal.tokenAtMs - nowMs)
    this.#refusals.delete(key)
    return 0
  }

  clear(): void {
    this.#refusals.clear()
  }

  #sweep(nowMs: number): void {
    for (let left = SWEPT_PER_REFUSAL; left > 0; left--) {
      const [key, refusal] = this.#cursor.next() ?? []
      if (key === undefined || refusal === undefined) continue
      if (nowMs >= refusal.askAgainAtMs || this.#refusals.size >= MAX_REFUSALS) this.#refusals.delete(key)
    }
  }
}

/** RFC 9110 10.2.3: Retry-After counts in whole seconds; rounded up, so that who obeys it is admitted. */
export function wholeSeconds(ms: number): number {
  return Math.max(1, Math.ceil(ms / 1000))
}
