// Decides whether a request is within its client's rate limit, on behalf of the authority in the
// supervisor. A held lease or a remembered refusal answers at once and costs no message; otherwise the
// request waits for one batched round trip. Knows neither requests nor answers.
//
// What makes the limit exact over all workers is explained in supervisor/src/rate-limit-authority.ts.
// This side's part of it: a token is spent only before the lease's end, which counts from the moment
// the request for it was sent; it is reported after it was spent; a token that is returned is given up
// first; more is asked for only when nothing is left.
import type { RateLimit } from '@reverse-proxy/shared/config/config'
import type { LeaseGrant, LeaseRequest, LeasedTokens } from '@reverse-proxy/shared/ipc/messages'
import type { RateLimits } from '@reverse-proxy/shared/rate-limits'
import { bucketKey, parseBucketKey, rateLimitOf, sameRateLimits } from '@reverse-proxy/shared/rate-limits'
import type { RateWaiter } from './lease.ts'
import { Lease } from './lease.ts'
import { LocalBuckets } from './local-buckets.ts'
import { Refusals, wholeSeconds } from './refusals.ts'
import { SilenceWatch } from './silence.ts'
import type { Timers } from './timers.ts'

export const ADMITTED = 0

/** Leases whose answer has come; those that still wait for it are bounded by the connections. */
const MAX_LEASES = 65_536
/** Spent tokens take up room in their bucket until they are reported: this part of it, all workers together. */
const UNREPORTED_PART = 0.25
/** How often leases are looked at that have ended. */
const TICK_MS = 50
const CHARGES_PER_MESSAGE = 1_000
/** A refusal is remembered at least this long, else a client with a high rate would be asked about all the time. */
const MIN_REFUSAL_MS = 1

export interface RateLimiterOptions {
  readonly limits: RateLimits
  /** To the authority; may be lost only if nothing comes back any more. */
  readonly send: (request: LeaseRequest) => void
  readonly timers: Timers
  /** How many workers there are, until a grant says it. */
  readonly workers: number
  /** The authority is silent; called once until it has answered again. */
  readonly onSilent: () => void
}

export class RateLimiter {
  readonly #send: (request: LeaseRequest) => void
  readonly #timers: Timers
  readonly #silence: SilenceWatch
  readonly #refusals = new Refusals()
  readonly #localBuckets = new LocalBuckets()
  /** By bucket key; the one that ends first comes first. */
  readonly #leases = new Map<string, Lease>()
  #asking: Lease[] = []
  #reporting: Lease[] = []
  #limits: RateLimits
  #workers: number
  #seq = 0
  #isFlushing = false
  #stopTick: (() => void) | undefined

  constructor({ limits, send, timers, workers, onSilent }: RateLimiterOptions) {
    this.#limits = limits
    this.#send = send
    this.#timers = timers
    this.#workers = workers
    this.#silence = new SilenceWatch(timers, () => {
      this.#decideWaiting()
      onSilent()
    })
  }

  /**
   * One request of `client` (a key of shared/client-key) in `scope` (rateScopeOf its site).
   * @returns ADMITTED; or after how many seconds the client may come again (whole, at least 1);
   *   or undefined: only the authority can tell, so `wait` is to be called
   */
  admit(scope: string, client: string): number | undefined {
    const key = bucketKey(scope, client)
    const nowMs = this.#timers.nowMs()
    const lease = this.#leases.get(key)
    if (lease?.spend(nowMs) === true) {
      this.#onSpent(lease)
      return ADMITTED
    }
    const retryAfterSecs = this.#refusals.retryAfterSecs(key, nowMs)
    if (retryAfterSecs > 0) return retryAfterSecs
    return this.#silence.isSilent ? this.#decideLocally(key, nowMs) : undefined
  }

  /** For a request that `admit` has said undefined of, in the same turn. `waiter` is told once, later. */
  wait(scope: string, client: string, waiter: RateWaiter): void {
    const key = bucketKey(scope, client)
    this.#ask(this.#leases.get(key) ?? this.#addLease(key, rateLimitOf(this.#limits, scope)), waiter)
  }

  onGrant({ seq, workers, grants }: LeaseGrant): void {
    this.#workers = workers
    this.#silence.onAnswered(seq)
    // Before anything else is asked for.
    if (this.#localBuckets.hasAdmitted) this.#flushSoon()
    for (const granted of grants) {
      const lease = this.#leases.get(granted.key)
      if (lease !== undefined) this.#take(lease, granted)
    }
  }

  /** The authority has the new limits already: nothing that was decided by the old ones is used any more. */
  configure(limits: RateLimits): void {
    if (sameRateLimits(this.#limits, limits)) return
    this.#limits = limits
    this.#refusals.clear()
    this.#returnAll()
  }

  /** Gives everything back. Idempotent. */
  close(): void {
    this.#returnAll()
    this.#flush()
    this.#stopTick?.()
    this.#silence.close()
  }

  #onSpent(lease: Lease): void {
    this.#report(lease)
    if (lease.spent >= lease.reportAt) this.#flushSoon()
  }

  #ask(lease: Lease, waiter: RateWaiter): void {
    lease.waiters.push(waiter)
    if (lease.isAsking) return
    // What is left has ended.
    this.#end(lease)
    lease.isAsking = true
    this.#asking.push(lease)
    this.#flushSoon()
  }

  #take(lease: Lease, { tokens, waitMs, recheckMs }: LeasedTokens): void {
    const nowMs = this.#timers.nowMs()
    lease.isAsking = false
    lease.tokens = tokens
    // If nobody waits any more, silence has decided in the meantime: what came of that is charged first.
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
    const isRefused = waitMs > 0
    if (isRefused) {
      const askAgainAtMs = nowMs + Math.max(MIN_REFUSAL_MS, recheckMs)
      this.#refusals.remember(lease.key, nowMs + waitMs, askAgainAtMs, nowMs)
    } else {
      for (const waiter of late) this.#ask(lease, waiter)
    }

    for (const waiter of waiters.slice(0, served)) waiter.onRateVerdict(ADMITTED)
    if (isRefused) for (const waiter of late) waiter.onRateVerdict(wholeSeconds(waitMs))
  }

  #decideLocally(key: string, nowMs: number): number {
    this.#tickLater()
    const limit = rateLimitOf(this.#limits, parseBucketKey(key).scope)
    return this.#localBuckets.decide(key, limit, this.#workers, nowMs)
  }

  #decideWaiting(): void {
    const nowMs = this.#timers.nowMs()
    for (const lease of this.#leases.values()) {
      const waiters = lease.waiters
      lease.waiters = []
      for (const waiter of waiters) waiter.onRateVerdict(this.#decideLocally(lease.key, nowMs))
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
    const charges = this.#localBuckets.drainAdmitted(CHARGES_PER_MESSAGE)
    const asks = this.#asking.filter((lease) => this.#isWanted(lease)).map((lease) => this.#askOf(lease))
    this.#asking = []
    if (reports.length + charges.length + asks.length === 0) return
    const seq = ++this.#seq
    this.#silence.onSent(seq)
    this.#send({ type: 'lease-request', seq, reports, charges, asks })
    this.#tickLater()
  }

  /** Those who waited may have been answered without the authority. */
  #isWanted(lease: Lease): boolean {
    lease.isAsking = lease.waiters.length > 0
    return lease.isAsking
  }

  #askOf(lease: Lease): { key: string; needed: number; ahead: number } {
    const { key, waiters } = lease
    const ahead = lease.ask(this.#timers.nowMs())
    // As the last one: it ends last.
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

  /** Ends the leases whose time has come, and reports. */
  #tick(): void {
    const nowMs = this.#timers.nowMs()
    let isDue = this.#localBuckets.hasAdmitted
    for (const lease of this.#leases.values()) {
      if (lease.isAsking) continue
      if (nowMs < lease.endsAtMs) break
      this.#end(lease)
      this.#leases.delete(lease.key)
      isDue ||= lease.hasReport
    }
    if (isDue && !this.#silence.isSilent) this.#flush()
    if (this.#leases.size > 0 || this.#reporting.length > 0 || this.#localBuckets.hasAdmitted)
      this.#tickLater()
  }
}
