// All buckets of the proxy: created when first used, forgotten when they are full again. Memory is bounded.
//
// When the table is full, unknown clients of a scope share one overflow bucket, which is forgotten like any other when
// it is full again. A client that gets its own bucket meanwhile may have spent from the overflow bucket, so its own
// starts with no more tokens than that one has: no client gets a second burst this way.
import type { RateLimits } from '@reverse-proxy/shared/rate-limit/rate-limits'
import { RATE_LEASE_MS, parseBucketKey, rateLimitOf } from '@reverse-proxy/shared/rate-limit/rate-limits'
import type { BucketState } from '@reverse-proxy/shared/rate-limit/token-bucket'
import { fullBucket } from '@reverse-proxy/shared/rate-limit/token-bucket'
import type { BucketId, BucketTable } from './bucket-table.ts'
import { RateScope } from './scope.ts'

/** The place of a bucket. Valid until another bucket is opened. */
export interface BucketPlace {
  readonly scope: RateScope
  /** In the table; OVERFLOW: the scope's overflow bucket. */
  readonly position: number
}

export const OVERFLOW = -1

/** Buckets examined for each one created: more are removed than created, and no sweep stalls. */
const SWEPT_PER_INSERTION = 2
/** Buckets examined when the table is full. */
const SWEPT_WHEN_FULL = 64

export interface BucketsOptions {
  readonly table: BucketTable
  readonly limits: RateLimits
  /** Unknown clients of `scope` start to share a bucket. */
  readonly onOverflow: (scope: string) => void
}

export class Buckets {
  readonly #table: BucketTable
  readonly #onOverflow: (scope: string) => void
  readonly #scopes = new Map<string, RateScope>()
  readonly #scopesByNumber = new Map<number, RateScope>()
  #limits: RateLimits
  #nextScope = 0
  #sweepAt = 0

  constructor({ table, limits, onOverflow }: BucketsOptions) {
    this.#table = table
    this.#limits = limits
    this.#onOverflow = onOverflow
  }

  get size(): number {
    return this.#table.size
  }

  /** From `nowMs` on, buckets refill by the new limits. */
  configure(limits: RateLimits, nowMs: number): void {
    this.#limits = limits
    for (const scope of this.#scopes.values()) {
      scope.change(rateLimitOf(limits, scope.name), nowMs)
      if (scope.buckets === 0 && scope.overflow === undefined) this.#removeScope(scope)
    }
  }

  /** Returns the place of the bucket of `key`, which is created if necessary. `read` returns its state. */
  open(key: string, nowMs: number): BucketPlace {
    const { scope: scopeName, client } = parseBucketKey(key)
    const scope = this.#scopes.get(scopeName) ?? this.#addScope(scopeName)
    const id = bucketIdOf(client, scope.number)
    const found = this.#table.find(id)
    if (found >= 0) return { scope, position: found }

    this.#sweep(SWEPT_PER_INSERTION, nowMs)
    if (this.#table.size === this.#table.capacity) this.#sweep(SWEPT_WHEN_FULL, nowMs)
    const overflow = this.#overflowOf(scope, nowMs)
    if (this.#table.size < this.#table.capacity) {
      scope.buckets++
      const bucket = overflow === undefined ? fullBucket(scope.limit, nowMs) : successorOf(overflow, nowMs)
      return { scope, position: this.#table.insert(id, bucket) }
    }
    if (overflow === undefined) {
      scope.overflow = fullBucket(scope.limit, nowMs)
      this.#onOverflow(scopeName)
    }
    return { scope, position: OVERFLOW }
  }

  /** The place of the bucket that a lease of `key` came from. A bucket with leased tokens is never forgotten. */
  find(key: string, isOverflow: boolean): BucketPlace | undefined {
    const { scope: scopeName, client } = parseBucketKey(key)
    const scope = this.#scopes.get(scopeName)
    if (scope === undefined) return undefined
    if (isOverflow) return { scope, position: OVERFLOW }
    const position = this.#table.find(bucketIdOf(client, scope.number))
    return position < 0 ? undefined : { scope, position }
  }

  read({ scope, position }: BucketPlace, nowMs: number): BucketState {
    if (position !== OVERFLOW) return scope.refill(this.#table.read(position), nowMs)
    return this.#overflowOf(scope, nowMs) ?? fullBucket(scope.limit, nowMs)
  }

  write({ scope, position }: BucketPlace, bucket: BucketState): void {
    if (position === OVERFLOW) scope.overflow = bucket
    else this.#table.write(position, bucket)
  }

  #overflowOf(scope: RateScope, nowMs: number): BucketState | undefined {
    if (scope.overflow === undefined) return undefined
    const bucket = scope.refill(scope.overflow, nowMs)
    scope.overflow = scope.isFull(bucket) ? undefined : bucket
    return scope.overflow
  }

  #addScope(name: string): RateScope {
    const scope = new RateScope(name, this.#nextScope++, rateLimitOf(this.#limits, name))
    this.#scopes.set(name, scope)
    this.#scopesByNumber.set(scope.number, scope)
    return scope
  }

  #removeScope(scope: RateScope): void {
    this.#scopes.delete(scope.name)
    this.#scopesByNumber.delete(scope.number)
  }

  /** Examines the next `count` records, from the last to the first, and begins again. */
  #sweep(count: number, nowMs: number): void {
    for (let left = Math.min(count, this.#table.size); left > 0; left--) {
      this.#sweepAt = (this.#sweepAt === 0 ? this.#table.size : Math.min(this.#sweepAt, this.#table.size)) - 1
      const scope = this.#scopesByNumber.get(this.#table.idAt(this.#sweepAt).tag >>> 1)
      if (scope === undefined || !scope.isFull(scope.refill(this.#table.read(this.#sweepAt), nowMs))) continue
      this.#table.remove(this.#sweepAt)
      scope.buckets--
    }
  }
}

/**
 * The own bucket of a client that may hold any of the tokens leased from `overflow`. It gains nothing until the last of
 * these leases has ended.
 */
function successorOf(overflow: BucketState, nowMs: number): BucketState {
  return { tokens: overflow.tokens, leased: 0, atMs: overflow.leased > 0 ? nowMs + RATE_LEASE_MS : nowMs }
}

/**
 * The id of a bucket in the table.
 * @param client as client-key.ts spells it: `203.0.113.5` or `2001:db8:0:1::/64`, each a separate id
 * @param scope less than 2^31
 */
export function bucketIdOf(client: string, scope: number): BucketId {
  if (!client.includes(':')) return { high: 0, low: ipv4Bits(client), tag: scope * 2 }
  const [a = 0, b = 0, c = 0, d = 0] = client.split(':', 4).map((group) => Number.parseInt(group, 16))
  return { high: join(a, b), low: join(c, d), tag: scope * 2 + 1 }
}

function ipv4Bits(client: string): number {
  const [a = 0, b = 0, c = 0, d = 0] = client.split('.').map(Number)
  return join(a * 256 + b, c * 256 + d)
}

function join(high: number, low: number): number {
  return ((high << 16) | low) >>> 0
}
