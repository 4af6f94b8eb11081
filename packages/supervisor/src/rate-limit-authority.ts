// The one authority over rate limits: it alone knows the buckets, and workers spend what it leases to
// them. Decides at once, in the order of the messages, and needs no timer. Knows no processes: a worker
// is a number that is never used twice.
//
// Why no client is ever admitted more than `burst + rate * t` in any t seconds (SPEC 8):
// 1. A leased token is no longer in its bucket but takes up room there (token-bucket.ts), from the grant
//    until the worker reports it spent or returned, which it does only after it has happened. So what can
//    still be spent of one bucket, in the supervisor, under way and in all workers, is never more than burst.
// 2. A worker may spend a lease until RATE_LEASE_MS after it sent its request, by its own clock. The
//    authority waits from the grant on, which is later, and longer by OVERDUE_GRACE_MS: a lease that is
//    given up here can be spent nowhere, although no two clocks have been compared, only durations.
// 3. A lease that is given up (overdue, or its worker has died) counts as spent. A report that comes after
//    that finds no lease and changes nothing, so no token comes back twice.
// 4. Messages between the authority and one worker keep their order, each worker holds at most one lease
//    of a bucket, and it asks for another only when nothing is left: a report can only be about the lease
//    that the book has, or about one that has been given up.
// What is lost by a late or missing report is admitted less, never more.
import type {
  LeaseAsk,
  LeaseGrant,
  LeaseReport,
  LeaseRequest,
  LeasedTokens,
} from '@reverse-proxy/shared/ipc/messages'
import type { Log } from '@reverse-proxy/shared/log-fields'
import type { RateLimits } from '@reverse-proxy/shared/rate-limits'
import { GENERAL_SCOPE, RATE_LEASE_MS } from '@reverse-proxy/shared/rate-limits'
import type { BucketState } from '@reverse-proxy/shared/token-bucket'
import { charge, lease, msUntilToken, settle } from '@reverse-proxy/shared/token-bucket'
import { BucketTable } from './rate-limit/bucket-table.ts'
import { Buckets, OVERFLOW } from './rate-limit/buckets.ts'
import type { HeldLease } from './rate-limit/lease-book.ts'
import { LeaseBook } from './rate-limit/lease-book.ts'

/** SPEC 8. 40 bytes each, reserved at the start, used as they are needed (test/long measures it). */
const MAX_BUCKETS = 1_000_000

/** How long after its end a lease's report may be under way before its tokens are lost. */
const OVERDUE_GRACE_MS = 250

/**
 * Beyond what its waiting requests need, a worker gets at most this part of what is left, divided by the
 * number of workers: were all of them to hoard all they can, most would still be there for whoever needs it.
 */
const SHARE_AHEAD = 0.5

/** What a worker meets; a store that several machines share can stand behind it as well. */
export interface RateLimitAuthority {
  /** New limits, from this moment on. Must come before the workers are told. */
  configure(limits: RateLimits): void
  /** @param answer is called once, now or later, in the order of the requests of that worker */
  request(worker: number, request: LeaseRequest, answer: (grant: LeaseGrant) => void): void
  /** It has exited: what it held counts as spent. */
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
  readonly #book = new LeaseBook()

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

  /** How many clients are remembered; those not counted have full buckets. */
  get size(): number {
    return this.#buckets.size
  }

  /** Leases that workers hold. */
  get leases(): number {
    return this.#book.size
  }

  configure(limits: RateLimits): void {
    this.#buckets.configure(limits, this.#options.nowMs())
  }

  request(worker: number, request: LeaseRequest, answer: (grant: LeaseGrant) => void): void {
    const nowMs = this.#options.nowMs()
    for (const overdue of this.#book.endOverdue(nowMs)) this.#giveUp(overdue, nowMs)
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
    for (const held of this.#book.endAll(worker)) this.#giveUp(held, nowMs)
  }

  #grant(worker: number, ask: LeaseAsk, workers: number, nowMs: number): LeasedTokens {
    const { key, needed, ahead } = ask
    const previous = this.#book.end(worker, key)
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
      this.#book.add(worker, { key, isOverflow: place.position === OVERFLOW, tokens, overdueAtMs })
    }
    if (tokens >= needed) return { key, tokens, waitMs: 0, recheckMs: 0 }
    const waitMs = msUntilToken(after, place.scope.limit)
    // What others hold may be returned; if nobody holds anything, time alone makes tokens.
    const recheckMs = after.leased > tokens ? Math.min(waitMs, RATE_LEASE_MS) : waitMs
    return { key, tokens, waitMs, recheckMs }
  }

  #settle(worker: number, { key, spent, returned }: LeaseReport, nowMs: number): void {
    const held = this.#book.find(worker, key)
    if (held === undefined) return
    const spentOfIt = Math.min(spent, held.tokens)
    const returnedOfIt = Math.min(returned, held.tokens - spentOfIt)
    held.tokens -= spentOfIt + returnedOfIt
    if (held.tokens === 0) this.#book.end(worker, key)
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
