// Decides whether a request is within its client's rate limit, on behalf of the authority in the supervisor. A held
// lease or a cached denial decides at once and costs no message; otherwise the request waits for one batched round
// trip. Knows neither requests nor responses.
//
// supervisor/src/rate-limit/authority.ts explains why the limit is exact over all workers. The worker's part: it
// spends a token only before the lease ends, counted from the moment it sent the request for the lease; it reports a
// token after it has spent it; it gives a token up before it returns it; it asks for more only when none is left.
import type { RateLimit } from '@reverse-proxy/shared/config/config'
import type { LeaseGrant, LeaseRequest, LeasedTokens } from '@reverse-proxy/shared/ipc/messages'
import type { RateLimits } from '@reverse-proxy/shared/rate-limit/rate-limits'
import {
  bucketKey,
  parseBucketKey,
  rateLimitOf,
  sameRateLimits,
} from '@reverse-proxy/shared/rate-limit/rate-limits'
import type { RateWaiter } from './lease.ts'
import { Lease } from './lease.ts'
import { FallbackBuckets } from './fallback-buckets.ts'
import { DeniedCache, wholeSeconds } from './denied-cache.ts'
import { AuthorityTimeout } from './authority-timeout.ts'
import type { Timers } from '@reverse-proxy/shared/clock'

export const ADMITTED = 0

/** Bound on granted leases. Leases that wait for a grant are bounded by the number of connections. */
const MAX_LEASES = 65_536
/** Unreported spent tokens of all workers together may take up this part of a bucket. */
const UNREPORTED_PART = 0.25
/** Interval at which ended leases are reported. */
const TICK_MS = 50
const CHARGES_PER_MESSAGE = 1_000
/** A denial is cached at least this long, or a client with a high rate would cost a message for each request. */
const MIN_DENIAL_MS = 1

export interface RateLimiterOptions {
  readonly limits: RateLimits
  /** Sends to the authority. A message may be lost only if no grant ever arrives again. */
  readonly send: (request: LeaseRequest) => void
  readonly timers: Timers
  /** Number of workers, until the first grant reports it. */
  readonly workers: number
  /** The authority has not answered in time. Called once until it answers again. */
  readonly onAuthorityTimeout: () => void
}

export class RateLimiter {
  readonly #send: (request: LeaseRequest) => void
  readonly #timers: Timers
  readonly #timeout: AuthorityTimeout
  readonly #denied = new DeniedCache()
  readonly #fallbackBuckets = new FallbackBuckets()
  /** By bucket key, ordered by their end. */
  readonly #leases = new Map<string, Lease>()
  #asking: Lease[] = []
  #reporting: Lease[] = []
  #limits: RateLimits
  #workers: number
  #seq = 0
  #isFlushing = false
  #stopTick: (() => void) | undefined

  constructor({ limits, send, timers, workers, onAuthorityTimeout }: RateLimiterOptions) {
    this.#limits = limits
    this.#send = send
    this.#timers = timers
    this.#workers = workers
    this.#timeout = new AuthorityTimeout(timers, () => {
      this.#decideWaiting()
      onAuthorityTimeout()
    })
  }

  /**
   * Decides about one request of `client` (a key of shared/client-key) in `scope` (rateScopeOf its site).
   * @returns ADMITTED; or the whole seconds after which the client may retry, at least 1; or undefined when only the
   *   authority can decide: call `wait`
   */
  admit(scope: string, client: string): number | undefined {
    const key = bucketKey(scope, client)
    const nowMs = this.#timers.nowMs()
    const lease = this.#leases.get(key)
    if (lease?.spend(nowMs) === true) {
      this.#onSpent(lease)
      return ADMITTED
    }
    const retryAfterSecs = this.#denied.retryAfterSecs(key, nowMs)
    if (retryAfterSecs > 0) return retryAfterSecs
    return this.#timeout.isTimedOut ? this.#decideByFallback(key, nowMs) : undefined
  }

  /** Waits for the authority's decision. Call it in the turn in which `admit` returned undefined. */
  wait(scope: string, client: string, waiter: RateWaiter): void {
    const key = bucketKey(scope, client)
    this.#ask(this.#leases.get(key) ?? this.#addLease(key, rateLimitOf(this.#limits, scope)), waiter)
  }

  onGrant({ seq, workers, grants }: LeaseGrant): void {
    this.#workers = workers
    this.#timeout.onAnswered(seq)
    // Report what the fallback admitted before asking for more.
    if (this.#fallbackBuckets.hasAdmitted) this.#flushSoon()
    for (const granted of grants) {
      const lease = this.#leases.get(granted.key)
      if (lease !== undefined) this.#take(lease, granted)
    }
  }

  /** Drops every decision made under the old limits. The authority must have the new limits already. */
  configure(limits: RateLimits): void {
    if (sameRateLimits(this.#limits, limits)) return
    this.#limits = limits
    this.#denied.clear()
    this.#returnAll()
  }

  /** Returns every unspent token. Idempotent. */
  close(): void {
    this.#returnAll()
    this.#flush()
    this.#stopTick?.()
    this.#timeout.close()
  }

  #onSpent(lease: Lease): void {
    this.#report(lease)
    if (lease.spent >= lease.reportAt) this.#flushSoon()
  }

  #ask(lease: Lease, waiter: RateWaiter): void {
    lease.waiters.push(waiter)
    if (lease.isAsking) return
    // Its remaining tokens have expired.
    this.#end(lease)
    lease.isAsking = true
    this.#asking.push(lease)
    this.#flushSoon()
  }

  #take(lease: Lease, { tokens, waitMs, recheckMs }: LeasedTokens): void {
    const nowMs = this.#timers.nowMs()
    lease.isAsking = false
    lease.tokens = tokens
    // Without waiters the fallback has decided meanwhile, and its decisions are charged first.
    if (nowMs >= lease.endsAtMs || lease.waiters.length === 0) this.#end(lease)
    const waiters = lease.waiters
    lease.waiters = []
    let served = 0
    while (served < waiters.length && lease.tokens > 0) {
      lease.spend(nowMs)
      served++
    }
    if (served > 0) this.#onSpent(lease)
    const late = waiters.slice(served)
    const isDenied = waitMs > 0
    if (isDenied) {
      const askAgainAtMs = nowMs + Math.max(MIN_DENIAL_MS, recheckMs)
      this.#denied.remember(lease.key, nowMs + waitMs, askAgainAtMs, nowMs)
    } else {
      for (const waiter of late) this.#ask(lease, waiter)
    }

    for (const waiter of waiters.slice(0, served)) waiter.onRateDecision(ADMITTED)
    if (isDenied) for (const waiter of late) waiter.onRateDecision(wholeSeconds(waitMs))
  }

  #decideByFallback(key: string, nowMs: number): number {
    this.#tickLater()
    const limit = rateLimitOf(this.#limits, parseBucketKey(key).scope)
    return this.#fallbackBuckets.decide(key, limit, this.#workers, nowMs)
  }

  #decideWaiting(): void {
    const nowMs = this.#timers.nowMs()
    for (const lease of this.#leases.values()) {
      const waiters = lease.waiters
      lease.waiters = []
      for (const waiter of waiters) waiter.onRateDecision(this.#decideByFallback(lease.key, nowMs))
    }
  }

  #addLease(key: string, limit: RateLimit): Lease {
    if (this.#leases.size >= MAX_LEASES) this.#evictOldest()
    const lease = new Lease(key, Math.ceil((limit.burst * UNREPORTED_PART) / this.#workers))
    this.#leases.set(key, lease)
    return lease
  }

  #evictOldest(): void {
    for (const lease of this.#leases.values()) {
      if (lease.isAsking) return
      this.#end(lease)
      this.#leases.delete(lease.key)
      return
    }
  }

  #returnAll(): void {
    for (const lease of this.#leases.values()) {
      this.#end(lease)
      if (!lease.isAsking) this.#leases.delete(lease.key)
    }
    this.#flushSoon()
  }

  #end(lease: Lease): void {
    lease.end()
    if (lease.hasReport) this.#report(lease)
  }

  #report(lease: Lease): void {
    if (lease.isReporting) return
    lease.isReporting = true
    this.#reporting.push(lease)
    this.#tickLater()
  }

  #flushSoon(): void {
    if (this.#isFlushing) return
    this.#isFlushing = true
    this.#timers.soon(() => {
      this.#isFlushing = false
      this.#flush()
    })
  }

  #flush(): void {
    const reports = this.#reporting.map((lease) => {
      const { key, spent, returned } = lease
      lease.spent = lease.returned = 0
      lease.isReporting = false
      return { key, spent, returned }
    })
    this.#reporting = []
    const charges = this.#fallbackBuckets.drainAdmitted(CHARGES_PER_MESSAGE)
    const asks = this.#asking.filter((lease) => this.#isWanted(lease)).map((lease) => this.#askOf(lease))
    this.#asking = []
    if (reports.length + charges.length + asks.length === 0) return
    const seq = ++this.#seq
    this.#timeout.onSent(seq)
    this.#send({ type: 'lease-request', seq, reports, charges, asks })
    this.#tickLater()
  }

  /** False if the fallback has decided about all its waiting requests. */
  #isWanted(lease: Lease): boolean {
    lease.isAsking = lease.waiters.length > 0
    return lease.isAsking
  }

  #askOf(lease: Lease): { key: string; needed: number; ahead: number } {
    const { key, waiters } = lease
    const ahead = lease.ask(this.#timers.nowMs())
    // Keep the order: it now ends last.
    this.#leases.delete(key)
    this.#leases.set(key, lease)
    return { key, needed: waiters.length, ahead }
  }

  #tickLater(): void {
    this.#stopTick ??= this.#timers.after(TICK_MS, () => {
      this.#stopTick = undefined
      this.#tick()
    })
  }

  /** Ends expired leases and sends the reports. */
  #tick(): void {
    const nowMs = this.#timers.nowMs()
    let isDue = this.#fallbackBuckets.hasAdmitted
    for (const lease of this.#leases.values()) {
      if (lease.isAsking) continue
      if (nowMs < lease.endsAtMs) break
      this.#end(lease)
      this.#leases.delete(lease.key)
      isDue ||= lease.hasReport
    }
    if (isDue && !this.#timeout.isTimedOut) this.#flush()
    if (this.#leases.size > 0 || this.#reporting.length > 0 || this.#fallbackBuckets.hasAdmitted)
      this.#tickLater()
  }
}
