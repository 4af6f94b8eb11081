// The authority over rate limits: it owns the buckets and leases tokens to workers. It decides at once, in the order
// of the messages, and needs no timer. It knows no processes: a worker is a number that is never used twice.
//
// Why no client is admitted more than `burst + rate * t` requests in any t seconds:
// 1. A leased token is no longer in its bucket but takes up room there (token-bucket.ts), from the grant until the
//    worker reports that it was spent or returned. So the tokens of one bucket that can still be spent, in the
//    supervisor, in messages and in all workers, never exceed the burst.
// 2. A worker may spend a lease until RATE_LEASE_MS after it sent its request, by its own clock. The authority counts
//    from the grant, which is later, and waits OVERDUE_GRACE_MS longer: a lease that is given up here can no longer be
//    spent anywhere. Only durations are compared, never two clocks.
// 3. A lease that is given up (overdue, or its worker died) counts as spent. A later report finds no lease and changes
//    nothing, so no token comes back twice.
// 4. Messages between the authority and one worker keep their order, each worker holds at most one lease of a bucket,
//    and it asks for another only when none is left: a report is about the lease in the table or about one given up.
// A late or missing report makes the limit stricter, never looser.
import type {
  LeaseAsk,
  LeaseGrant,
  LeaseReport,
  LeaseRequest,
  LeasedTokens,
} from '@reverse-proxy/shared/ipc/messages'
import type { Log } from '@reverse-proxy/shared/log-fields'
import type { RateLimits } from '@reverse-proxy/shared/rate-limit/rate-limits'
import { GENERAL_SCOPE, RATE_LEASE_MS } from '@reverse-proxy/shared/rate-limit/rate-limits'
import type { BucketState } from '@reverse-proxy/shared/rate-limit/token-bucket'
import { charge, lease, msUntilToken, settle } from '@reverse-proxy/shared/rate-limit/token-bucket'
import { BucketTable } from './bucket-table.ts'
import { Buckets, OVERFLOW } from './buckets.ts'
import type { HeldLease } from './lease-table.ts'
import { LeaseTable } from './lease-table.ts'

/** 40 bytes each, reserved at the start and backed by memory when they are used (measured in test/long). */
const MAX_BUCKETS = 1_000_000

/** Time after the end of a lease within which its report must arrive, or its tokens are lost. */
const OVERDUE_GRACE_MS = 250

/**
 * Beyond what its waiting requests need, a worker gets at most this part of the remaining tokens divided by the number
 * of workers, so that hoarding workers leave enough for the others.
 */
const SHARE_AHEAD = 0.5

/** The authority as workers see it. */
export interface RateLimitAuthority {
  /** Applies new limits. Call it before the workers learn of them. */
  configure(limits: RateLimits): void
  /** @param answer called once, now or later, in the order of the worker's requests */
  request(worker: number, request: LeaseRequest, answer: (grant: LeaseGrant) => void): void
  /** The worker has exited: the tokens it held count as spent. */
  forgetWorker(worker: number): void
}

export interface AuthorityOptions {
  readonly limits: RateLimits
  readonly log: Log
  /** Monotonic. */
  readonly nowMs: () => number
  /** How many workers serve at this moment. */
  readonly workers: () => number
  /** 32 random bits. */
  readonly seed: number
  readonly maxBuckets?: number
}

export class LocalRateLimitAuthority implements RateLimitAuthority {
  readonly #options: AuthorityOptions
  readonly #buckets: Buckets
  readonly #leases = new LeaseTable()

  constructor(options: AuthorityOptions) {
    this.#options = options
    const { limits, log, seed, maxBuckets = MAX_BUCKETS } = options
    this.#buckets = new Buckets({
      table: new BucketTable(maxBuckets, seed),
      limits,
      onOverflow: (scope) => {
        const host = scope === GENERAL_SCOPE ? undefined : scope
        log.warn('RATE_LIMIT_OVERFLOW', { host, clients: maxBuckets })
      },
    })
  }

  /** Number of buckets that are not full. */
  get size(): number {
    return this.#buckets.size
  }

  /** Number of leases that workers hold. */
  get leases(): number {
    return this.#leases.size
  }

  configure(limits: RateLimits): void {
    this.#buckets.configure(limits, this.#options.nowMs())
  }

  request(worker: number, request: LeaseRequest, answer: (grant: LeaseGrant) => void): void {
    const nowMs = this.#options.nowMs()
    for (const overdue of this.#leases.endOverdue(nowMs)) this.#giveUp(overdue, nowMs)
    for (const report of request.reports) this.#settle(worker, report, nowMs)
    for (const { key, count } of request.charges) {
      this.#update(key, nowMs, (bucket) => charge(bucket, count))
    }
    const workers = Math.max(1, this.#options.workers())
    const grants = request.asks.map((ask) => this.#grant(worker, ask, workers, nowMs))
    answer({ type: 'lease-grant', seq: request.seq, workers, grants })
  }

  forgetWorker(worker: number): void {
    const nowMs = this.#options.nowMs()
    for (const held of this.#leases.endAll(worker)) this.#giveUp(held, nowMs)
  }

  #grant(worker: number, ask: LeaseAsk, workers: number, nowMs: number): LeasedTokens {
    const { key, needed, ahead } = ask
    const previous = this.#leases.end(worker, key)
    if (previous !== undefined) this.#giveUp(previous, nowMs)

    const place = this.#buckets.open(key, nowMs)
    const bucket = this.#buckets.read(place, nowMs)
    const whole = Math.floor(bucket.tokens)
    const share = Math.floor((Math.max(0, whole - needed) * SHARE_AHEAD) / workers)
    const tokens = Math.min(whole, needed + Math.min(ahead, share))
    const after = lease(bucket, tokens)
    this.#buckets.write(place, after)
    if (tokens > 0) {
      const overdueAtMs = nowMs + RATE_LEASE_MS + OVERDUE_GRACE_MS
      this.#leases.add(worker, { key, isOverflow: place.position === OVERFLOW, tokens, overdueAtMs })
    }
    if (tokens >= needed) return { key, tokens, waitMs: 0, recheckMs: 0 }
    const waitMs = msUntilToken(after, place.scope.limit)
    // Tokens that others hold may be returned; without any, only time adds tokens.
    const recheckMs = after.leased > tokens ? Math.min(waitMs, RATE_LEASE_MS) : waitMs
    return { key, tokens, waitMs, recheckMs }
  }

  #settle(worker: number, { key, spent, returned }: LeaseReport, nowMs: number): void {
    const held = this.#leases.find(worker, key)
    if (held === undefined) return
    const spentOfIt = Math.min(spent, held.tokens)
    const returnedOfIt = Math.min(returned, held.tokens - spentOfIt)
    held.tokens -= spentOfIt + returnedOfIt
    if (held.tokens === 0) this.#leases.end(worker, key)
    this.#change(held, nowMs, (bucket) => settle(bucket, spentOfIt, returnedOfIt))
  }

  #giveUp(held: HeldLease, nowMs: number): void {
    this.#change(held, nowMs, (bucket) => settle(bucket, held.tokens, 0))
  }

  #change({ key, isOverflow }: HeldLease, nowMs: number, change: (bucket: BucketState) => BucketState): void {
    const place = this.#buckets.find(key, isOverflow)
    if (place !== undefined) this.#buckets.write(place, change(this.#buckets.read(place, nowMs)))
  }

  #update(key: string, nowMs: number, change: (bucket: BucketState) => BucketState): void {
    const place = this.#buckets.open(key, nowMs)
    this.#buckets.write(place, change(this.#buckets.read(place, nowMs)))
  }
}
