// Clients that the authority has denied, so that it is not asked again too soon. Bounded: a forgotten denial costs one
// message to the authority. Pure.
import { IncrementalSweep } from './incremental-sweep.ts'

const MAX_DENIALS = 65_536

interface Denial {
  readonly askAgainAtMs: number
  readonly tokenAtMs: number
}

export class DeniedCache {
  readonly #denials = new Map<string, Denial>()
  readonly #sweep = new IncrementalSweep(
    this.#denials,
    ({ askAgainAtMs }, nowMs) => nowMs >= askAgainAtMs || this.#denials.size >= MAX_DENIALS,
  )

  get size(): number {
    return this.#denials.size
  }

  /**
   * @param tokenAtMs when the client can have a token, for Retry-After
   * @param askAgainAtMs when the denial expires; not later than `tokenAtMs`
   */
  remember(key: string, tokenAtMs: number, askAgainAtMs: number, nowMs: number): void {
    this.#sweep.advance(nowMs)
    this.#denials.set(key, { tokenAtMs, askAgainAtMs })
  }

  /** Whole seconds until a token, at least 1; 0 if no denial of `key` is cached. */
  retryAfterSecs(key: string, nowMs: number): number {
    const denial = this.#denials.get(key)
    if (denial === undefined) return 0
    if (nowMs < denial.askAgainAtMs) return wholeSeconds(denial.tokenAtMs - nowMs)
    this.#denials.delete(key)
    return 0
  }

  clear(): void {
    this.#denials.clear()
  }
}

/** RFC 9110 10.2.3: Retry-After is in whole seconds. Rounded up, so that a client that obeys it is admitted. */
export function wholeSeconds(ms: number): number {
  return Math.max(1, Math.ceil(ms / 1000))
}
