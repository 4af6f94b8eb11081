// A token bucket as a value, and how time, requests and leases change it. Pure.
//
// Leased tokens (handed out, perhaps not spent yet) count against the capacity; otherwise time would refill their room
// and they would come on top of a full bucket. So `tokens + leased` never exceeds `burst`, and only time adds to it:
// within t seconds at most `burst + rate * t` tokens can be spent, independent of who holds them.
import type { RateLimit } from '../config/config.ts'

export interface BucketState {
  /** Available tokens, with fractions. */
  readonly tokens: number
  /** Whole tokens handed out that may not have been spent yet. */
  readonly leased: number
  /** Time of this state; monotonic, milliseconds. */
  readonly atMs: number
}

export function fullBucket(limit: RateLimit, nowMs: number): BucketState {
  return { tokens: limit.burst, leased: 0, atMs: nowMs }
}

/** The bucket at `nowMs`, refilled by `limit` since its last state. A clock that was set back adds nothing. */
export function refill(bucket: BucketState, limit: RateLimit, nowMs: number): BucketState {
  const { tokens, leased, atMs } = bucket
  const elapsedMs = Math.max(0, nowMs - atMs)
  const room = Math.max(0, limit.burst - leased)
  const added = (elapsedMs * limit.requestsPerSecond) / 1000
  return { tokens: Math.min(room, tokens + added), leased, atMs: atMs + elapsedMs }
}

export interface Taking {
  readonly admitted: boolean
  readonly bucket: BucketState
}

/** Takes `cost` tokens at `nowMs`, or none if there are fewer. */
export function take(bucket: BucketState, limit: RateLimit, nowMs: number, cost: number): Taking {
  const refilled = refill(bucket, limit, nowMs)
  if (refilled.tokens < cost) return { admitted: false, bucket: refilled }
  return { admitted: true, bucket: { ...refilled, tokens: refilled.tokens - cost } }
}

/** Hands out `count` tokens; the bucket must have them. */
export function lease(bucket: BucketState, count: number): BucketState {
  return { ...bucket, tokens: bucket.tokens - count, leased: bucket.leased + count }
}

/** Settles leased tokens: `spent` are used up, `returned` are available again. */
export function settle(bucket: BucketState, spent: number, returned: number): BucketState {
  return { ...bucket, tokens: bucket.tokens + returned, leased: bucket.leased - spent - returned }
}

/** Subtracts tokens that were spent without a lease, down to 0. */
export function charge(bucket: BucketState, count: number): BucketState {
  return { ...bucket, tokens: Math.max(0, bucket.tokens - count) }
}

/** A full bucket is equivalent to a new one, so it may be forgotten. */
export function isFull(bucket: BucketState, limit: RateLimit): boolean {
  return bucket.leased === 0 && bucket.tokens >= limit.burst
}

/** Time (ms) until the bucket has one whole token by refilling alone; 0 if it has one. */
export function msUntilToken(bucket: BucketState, limit: RateLimit): number {
  return (Math.max(0, 1 - bucket.tokens) * 1000) / limit.requestsPerSecond
}
