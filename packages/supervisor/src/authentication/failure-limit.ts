// Limits how often one client may be wrong about a password: twenty failures at once, then one every six seconds. An
// attempt counts as a failure until it has succeeded, so that many at once are no way around the limit. Clients whose
// latest attempt is longest ago are forgotten first.
import {
  fullBucket,
  isFull,
  msUntilToken,
  refill,
  take,
  type BucketState,
} from '@reverse-proxy/shared/rate-limit/token-bucket'

const LIMIT = { requestsPerSecond: 1 / 6, burst: 20 }
/** About 100 bytes each. */
const MAX_CLIENTS = 50_000

export class FailureLimit {
  /** The latest attempt last. */
  readonly #buckets = new Map<string, BucketState>()

  /** Begins an attempt. @returns the time until `client` may try; 0: it may now */
  begin(client: string, nowMs: number): number {
    const { admitted, bucket } = take(this.#buckets.get(client) ?? fullBucket(LIMIT, nowMs), LIMIT, nowMs, 1)
    if (!admitted) return Math.ceil(msUntilToken(bucket, LIMIT))
    this.#buckets.delete(client)
    this.#buckets.set(client, bucket)
    this.#forget(nowMs)
    return 0
  }

  /** The attempt was no failure. */
  succeeded(client: string): void {
    const bucket = this.#buckets.get(client)
    if (bucket === undefined) return
    this.#buckets.set(client, { ...bucket, tokens: Math.min(LIMIT.burst, bucket.tokens + 1) })
  }

  #forget(nowMs: number): void {
    for (const [oldest, bucket] of this.#buckets) {
      if (this.#buckets.size <= MAX_CLIENTS && !isFull(refill(bucket, LIMIT, nowMs), LIMIT)) break
      this.#buckets.delete(oldest)
    }
  }
}
