// Determines the rate limit of a request and the key of its bucket, on which worker and authority must agree. Pure.
import type { RateLimit, RouteSettings, Site } from '../config/config.ts'
import { settingsOf } from '../config/sites.ts'

/** The scope of requests whose site or route has no limit of its own. Each scope has a bucket for every client. */
export const GENERAL_SCOPE = ''

/** A lease ends after this time; its unspent tokens are returned. */
export const RATE_LEASE_MS = 1_000

/** Occurs in no host name and no client key. */
const SEPARATOR = '|'

export interface RateLimits {
  readonly general: RateLimit
  /** By scope. */
  readonly sites: ReadonlyMap<string, RateLimit>
}

/** The part that Config and WorkerConfig share. */
interface LimitedConfig {
  readonly rateLimit: RateLimit
  readonly listeners: readonly { readonly sites: readonly Site[] }[]
}

export function rateLimitsOf({ rateLimit, listeners }: LimitedConfig): RateLimits {
  const sites = new Map<string, RateLimit>()
  for (const listener of listeners) {
    for (const { rateLimit: own } of settingsOf(listener.sites)) {
      if (own !== undefined) sites.set(own.scope, own)
    }
  }
  return { general: rateLimit, sites }
}

export function rateScopeOf({ rateLimit }: Pick<RouteSettings, 'rateLimit'>): string {
  return rateLimit === undefined ? GENERAL_SCOPE : rateLimit.scope
}

/** The limit of `scope`; the general one if `scope` is not configured, or no longer. */
export function rateLimitOf(limits: RateLimits, scope: string): RateLimit {
  return scope === GENERAL_SCOPE ? limits.general : (limits.sites.get(scope) ?? limits.general)
}

export function sameRateLimits(a: RateLimits, b: RateLimits): boolean {
  if (!sameRateLimit(a.general, b.general) || a.sites.size !== b.sites.size) return false
  for (const [scope, limit] of a.sites) {
    const other = b.sites.get(scope)
    if (other === undefined || !sameRateLimit(limit, other)) return false
  }
  return true
}

export function sameRateLimit(a: RateLimit, b: RateLimit): boolean {
  return a.requestsPerSecond === b.requestsPerSecond && a.burst === b.burst
}

/** @param client a key of client-key.ts; in the general scope the bucket has the same key */
export function bucketKey(scope: string, client: string): string {
  return scope === GENERAL_SCOPE ? client : client + SEPARATOR + scope
}

export interface BucketName {
  readonly scope: string
  readonly client: string
}

/** The inverse of bucketKey. */
export function parseBucketKey(key: string): BucketName {
  const end = key.indexOf(SEPARATOR)
  if (end < 0) return { scope: GENERAL_SCOPE, client: key }
  return { scope: key.slice(end + 1), client: key.slice(0, end) }
}
