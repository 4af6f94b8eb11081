// How many certificates a CA is let issue for one listener, whatever the reason for the next: a clock by which each
// new one is about to expire, or a CA that wants every one replaced at once, must not lead from one order to the
// next. Pure; when certificates were issued is kept in renewal-record.ts.
import { DAY_MS } from '@reverse-proxy/shared/time-units'

// Let's Encrypt issues 5 certificates for the same names in 7 days; the last is left to people.
const BUDGET = 4
const PERIOD_MS = 7 * DAY_MS
/** When the budget is used up, no two come closer than retries do. */
const PAUSE_MS = DAY_MS
/** Part of a lifetime. Smaller than any wait of the lifetime rule, so that normal renewals never hit the limit. */
const LONGEST_PART = 0.45

/**
 * Before when nothing is renewed by itself. `issuedMs` is when certificates were issued, oldest first; `lifetimeMs`
 * is the present one's, Infinity for the CA's own limit.
 */
export function budgetAllowsMs(issuedMs: readonly number[], lifetimeMs: number): number {
  const [oldestMs, lastMs] = [issuedMs.at(-BUDGET), issuedMs.at(-1)]
  if (oldestMs === undefined || lastMs === undefined) return 0
  const longestMs = lifetimeMs * LONGEST_PART
  const periodMs = Math.min(PERIOD_MS, longestMs)
  const isBurst = lastMs - oldestMs < periodMs
  return isBurst ? Math.max(oldestMs + periodMs, lastMs + Math.min(PAUSE_MS, longestMs)) : 0
}

/** Earliest time at which a start that has nothing to serve may order. `lifetimeMs` is that of the last certificate. */
export function startAllowedMs(issuedMs: readonly number[], lifetimeMs: number, nowMs: number): number {
  const lastMs = issuedMs.at(-1)
  if (lastMs === undefined || nowMs >= budgetAllowsMs(issuedMs, lifetimeMs)) return 0
  return lastMs + Math.min(PAUSE_MS, lifetimeMs * LONGEST_PART)
}

/** `issuedMs` with one more, and without what no longer matters. */
export function withIssued(issuedMs: readonly number[], nowMs: number): number[] {
  return [...issuedMs, nowMs].slice(-BUDGET)
}

/** After the clock was set back, a certificate that was issued in the future counts as issued just now. */
export function issuedAsOf(issuedMs: readonly number[], nowMs: number): number[] {
  const earlyMs = Math.max((issuedMs.at(-1) ?? nowMs) - nowMs, 0)
  return issuedMs.map((timeMs) => timeMs - earlyMs)
}
