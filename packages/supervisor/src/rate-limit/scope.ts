// One rate limit over time. Buckets are looked at rarely and limits may change in between, so a scope
// remembers what held when: a bucket gets for every moment what the limit of that moment gave. Pure.
import type { RateLimit } from '@reverse-proxy/shared/config/config'
import { sameRateLimit } from '@reverse-proxy/shared/rate-limits'
import type { BucketState } from '@reverse-proxy/shared/token-bucket'
import { isFull, refill } from '@reverse-proxy/shared/token-bucket'

interface Period {
  readonly limit: RateLimit
  readonly untilMs: number
}

/** Beyond that many changes since a bucket was looked at, it gets nothing for the time before them. */
const MAX_PAST_PERIODS = 16

export class RateScope {
  readonly name: string
  /** Part of a bucket's id; never used again for another scope. */
  readonly number: number
  /** How many buckets there are under it. */
  buckets = 0
  /** Shared by clients for which there was no room; there until it is full again. */
  overflow: BucketState | undefined
  #limit: RateLimit
  #past: readonly Period[] = []
  #sinceMs = 0

  constructor(name: string, number: number, limit: RateLimit) {
    this.name = name
    this.number = number
    this.#limit = limit
  }

  get limit(): RateLimit {
    return this.#limit
  }

  /** From `nowMs` on; nothing is taken from or given to a bucket by that alone. */
  change(limit: RateLimit, nowMs: number): void {
    if (sameRateLimit(this.#limit, limit)) return
    const past = [...this.#past, { limit: this.#limit, untilMs: nowMs }]
    this.#past = past.slice(-MAX_PAST_PERIODS)
    if (past.length > MAX_PAST_PERIODS) this.#sinceMs = past[0]?.untilMs ?? nowMs
    this.#limit = limit
  }

  refill(bucket: BucketState, nowMs: number): BucketState {
    let refilled = bucket.atMs < this.#sinceMs ? { ...bucket, atMs: this.#sinceMs } : bucket
    for (const { limit, untilMs } of this.#past) {
      if (refilled.atMs < untilMs) refilled = refill(refilled, limit, untilMs)
    }
    return refill(refilled, this.#limit, nowMs)
  }

  isFull(bucket: BucketState): boolean {
    return isFull(bucket, this.#limit)
  }
}
