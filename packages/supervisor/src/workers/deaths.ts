// Who died, how often, and when a slot that lost its worker may have the next one.
import type { Backoff } from './backoff.ts'
import { afterDeath, NO_BACKOFF } from './backoff.ts'

export class Deaths {
  readonly #backoffs = new Map<number, Backoff>()
  #unexpected = 0

  /** By slot. */
  get backoffs(): ReadonlyMap<number, Backoff> {
    return this.#backoffs
  }

  /** Those that nobody had asked for. */
  get unexpected(): number {
    return this.#unexpected
  }

  /** Of the worst slot: how a start that cannot succeed is told from one hiccup. */
  get inARow(): number {
    return Math.max(0, ...[...this.#backoffs.values()].map(({ deaths }) => deaths))
  }

  countUnexpected(): void {
    this.#unexpected++
  }

  /** The worker of `slot`, born at `bornAtMs`, has died: the next one waits, unless that one had been well. */
  delayNext(slot: number, bornAtMs: number, nowMs: number): void {
    this.#backoffs.set(slot, afterDeath(this.#backoffs.get(slot) ?? NO_BACKOFF, bornAtMs, nowMs))
  }
}
