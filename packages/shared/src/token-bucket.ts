// A token bucket as a value: what it holds, and what time, a lease or a request makes of it. Pure;
// who keeps buckets, and how many, is decided elsewhere.
//
// Leased tokens (handed out, perhaps not spent yet) still count against the capacity: if time could fill their room,
// they would come on top of a full bucket. So at any moment
// `tokens + leased` is at most `burst`, and from then on only time adds to it: within t seconds no
// more than `burst + rate * t` tokens can be spent, whoever holds them and whenever they are spent.
import type { RateLimit } from './config/config.ts'

export interface BucketState {
  /** To be had now; fractions count. */
  readonly tokens: number
  /** Whole tokens that have been handed out and may not have been spent yet. */
  readonly leased: number
  /** When `tokens` was true: monotonic, milliseconds. */
  readonly atMs: number
}

export function fullBucket(limit: RateLimit, nowMs: number): BucketState {
  return { tokens: limit.burst, leased: 0, atMs: nowMs }
}

/** The bucket at `nowMs`, `limit` having held since it was looked at last. A clock that went back adds nothing. */
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

/** `cost` tokens at `nowMs`, or nothing at all. */
export function take(bucket: BucketState, limit: RateLimit, nowMs: number, cost: number): Taking {
  const refilled = refill(bucket, limit, nowMs)
  if (refilled.tokens < cost) return { admitted: false, bucket: refilled }
  return { admitted: true, bucket: { ...refilled, tokens: refilled.tokens - cost } }
}

/** Hands out `count` tokens; the bucket must have them. */
export function lease(bucket: BucketState, count: number): BucketState {
  return { ...bucket, tokens: bucket.tokens - count, leased: bucket.leased + count }
}

/** Settles leased tokens: `spent` are gone, `returned` are back. */
export function settle(bucket: BucketState, spent: number, returned: number): BucketState {
  return { ...bucket, tokens: bucket.tokens + returned, leased: bucket.leased - spent - returned }
}

/** Takes away what somebody spent without asking, as far as it is there. */
export function charge(bucket: BucketState, count: number): BucketState {
  return { ...bucket, tokens: Math.max(0, bucket.tokens - count) }
}

/** A full bucket is as good as none: it may be forgotten. */
export function isFull(bucket: BucketState, limit: RateLimit): boolean {
  return bucket.leased === 0 && bucket.tokens >= limit.burst
}

/** How long until time alone makes one whole token of what is there; 0 if it is there. */
export function msUntilToken(bucket: BucketState, limit: RateLimit): number {
  return (Math.max(0, 1 - bucket.tokens) * 1000) / limit.requestsPerSecond
}
