// One rate limit over time. A limit may change between two looks at a bucket, so a scope keeps its past limits and
// refills each bucket by the limit of each moment. Pure.
import type { RateLimit } from '@reverse-proxy/shared/config/config'
import { sameRateLimit } from '@reverse-proxy/shared/rate-limit/rate-limits'
import type { BucketState } from '@reverse-proxy/shared/rate-limit/token-bucket'
import { isFull, refill } from '@reverse-proxy/shared/rate-limit/token-bucket'

interface Period {
  readonly limit: RateLimit
  readonly untilMs: number
}

/** Past limits kept. A bucket that was not read since an older one gains nothing for the time before. */
const MAX_PAST_PERIODS = 16

export class RateScope {
  readonly name: string
  /** Part of a bucket's id. Never reused for another scope. */
  readonly number: number
  /** Number of its buckets. */
  buckets = 0
  /** Shared by clients without a bucket of their own; exists until it is full again. */
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

  /** Applies `limit` from `nowMs` on. The tokens of a bucket do not change by that alone. */
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
