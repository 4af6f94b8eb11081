// This worker's share of every rate limit while the authority does not answer: 1/workers of rate and burst.
// Remembers what it admits, so that the authority can charge it afterwards. Pure.
import type { RateLimit } from '@reverse-proxy/shared/config/config'
import type { BucketState } from '@reverse-proxy/shared/rate-limit/token-bucket'
import { fullBucket, isFull, msUntilToken, refill, take } from '@reverse-proxy/shared/rate-limit/token-bucket'
import { IncrementalSweep } from './incremental-sweep.ts'
import { wholeSeconds } from './denied-cache.ts'

const MAX_BUCKETS = 65_536
/** Clients beyond MAX_BUCKETS share this bucket. */
const SHARED_KEY = ''

interface FallbackBucket {
  readonly limit: RateLimit
  readonly bucket: BucketState
}

export class FallbackBuckets {
  readonly #buckets = new Map<string, FallbackBucket>()
  readonly #sweep = new IncrementalSweep(this.#buckets, ({ bucket, limit }, nowMs) =>
    isFull(refill(bucket, limit, nowMs), limit),
  )
  readonly #admitted = new Map<string, number>()

  /** Decides about one request. @returns 0 if admitted, else the seconds after which the client may retry */
  decide(key: string, wholeLimit: RateLimit, workers: number, nowMs: number): number {
    const limit = shareOf(wholeLimit, workers)
    const place = this.#placeOf(key, nowMs)
    const bucket = this.#buckets.get(place)?.bucket ?? fullBucket(limit, nowMs)
    const taking = take(bucket, limit, nowMs, 1)
    this.#buckets.set(place, { limit, bucket: taking.bucket })
    if (!taking.admitted) return wholeSeconds(msUntilToken(taking.bucket, limit))
    this.#remember(key)
    return 0
  }

  /** Returns and forgets what has been admitted, for at most `count` keys. */
  drainAdmitted(count: number): { key: string; count: number }[] {
    const admitted: { key: string; count: number }[] = []
    for (const [key, ofKey] of this.#admitted) {
      if (admitted.length === count) break
      admitted.push({ key, count: ofKey })
      this.#admitted.delete(key)
    }
    return admitted
  }

  get hasAdmitted(): boolean {
    return this.#admitted.size > 0
  }

  #remember(key: string): void {
    const before = this.#admitted.get(key)
    if (before === undefined && this.#admitted.size >= MAX_BUCKETS) return
    this.#admitted.set(key, (before ?? 0) + 1)
  }

  #placeOf(key: string, nowMs: number): string {
    if (this.#buckets.has(key)) return key
    this.#sweep.advance(nowMs)
    return this.#buckets.size < MAX_BUCKETS ? key : SHARED_KEY
  }
}

/** The burst is at least 1, also where it is smaller than the number of workers. */
function shareOf({ requestsPerSecond, burst }: RateLimit, workers: number): RateLimit {
  return { requestsPerSecond: requestsPerSecond / workers, burst: Math.max(1, burst / workers) }
}
