// When the next attempt is due: pure arithmetic on the dates of the issued certificate, the failures
// so far and the CA's Retry-After. Never on configuration, never on a timer's own idea of time.
import { DAY_MS, HOUR_MS, MINUTE_MS } from '@reverse-proxy/shared/time-units'
import type { Validity } from '../crypto/inspect.ts'

const SHORT_LIFETIME_MS = 10 * DAY_MS
/** Renewals are spread over this part of the lifetime, always towards earlier. */
const SPREAD = 0.02
/** Part of the lifetime that is kept before expiry. */
const MARGIN = 1 / 6
/** Part of the lifetime reserved for the order itself. */
const LEAD = 0.0005
/** Part of the lifetime: from here on a CA that is away for a sixth of it still leaves the margin. */
const BACKSTOP = 2 * (MARGIN + LEAD)

const RETRY_DELAYS_MS = [MINUTE_MS, 10 * MINUTE_MS, 100 * MINUTE_MS] as const
const LAST_RETRY_DELAY_MS = DAY_MS
/** With an expired certificate in service there is no margin left to keep: an hour, a tenth of a short lifetime. */
const EXPIRED_RETRY_DELAY_MS = HOUR_MS
const EXPIRED_RETRIES = 10
const RETRY_SPREAD = 0.1
const RETRY_AFTER_CEILING_MS = DAY_MS
/** As the margin comes near, each retry waits for this part of what is left until there: 1 in 6. */
const CROWDING = 6
/** Crowding retries stay this far apart. */
const CLOSEST_RETRY_MS = 15 * MINUTE_MS
/** Names that the CA has tried in vain: after the second time. CAs count; Let's Encrypt allows 5 an hour. */
const REJECTED_RETRY_MS = 20 * MINUTE_MS
const QUICK_REJECTIONS = 2

/**
 * When a certificate that was obtained at `obtainedMs` is renewed: with a third of its lifetime left, or
 * half if it lives under 10 days. `jitter` (0 to 1) is the certificate's own: it moves the time earlier,
 * to 2 % of the lifetime at most. Under a clock that is fast, or from a CA that backdates by a lot, it
 * rests nevertheless for a third of the time it then had, so that no renewal follows on the other's heels.
 */
export function renewAtMs(validity: Validity, obtainedMs: number, jitter: number): number {
  const lifetimeMs = validity.notAfterMs - validity.notBeforeMs
  const left = lifetimeMs < SHORT_LIFETIME_MS ? 1 / 2 : BACKSTOP
  const earliest = (lifetimeMs < SHORT_LIFETIME_MS ? 1 / 2 : 1 / 3) + SPREAD
  return restedAtMs(validity, obtainedMs, left + (earliest - left) * jitter)
}

/** The last word against a CA that would like a renewal later than that, or at no sensible time. */
export function backstopAtMs(validity: Validity, obtainedMs: number): number {
  return restedAtMs(validity, obtainedMs, BACKSTOP)
}

/** With `left` (0 to 1) of the lifetime to come, but not before a third of the time since `obtainedMs` is over. */
function restedAtMs({ notBeforeMs, notAfterMs }: Validity, obtainedMs: number, left: number): number {
  const restedMs = obtainedMs + (notAfterMs - obtainedMs) / 3
  return Math.max(notAfterMs - (notAfterMs - notBeforeMs) * left, restedMs)
}

/** From here on a certificate that has not been renewed is an error, not a warning. */
export function marginAtMs(validity: Validity): number {
  return validity.notAfterMs - (validity.notAfterMs - validity.notBeforeMs) * MARGIN
}

/** Retries crowd towards this point, so that there is one that ends before the margin; then towards expiry. */
export function lastCallAtMs({ notBeforeMs, notAfterMs }: Validity): number {
  return notAfterMs - (notAfterMs - notBeforeMs) * (MARGIN + LEAD)
}

export interface Failure {
  /** In a row, the one just now included. */
  readonly failures: number
  readonly failedAtMs: number
  /** The wait that the CA asked for, if any. */
  readonly retryAfterMs: number | undefined
  /** The CA has tried to validate names, in vain. */
  readonly isRejected: boolean
  /** It has issued what then was of no use: CAs count certificates, too. */
  readonly isIssued: boolean
  /** Validity of the certificate in service, if there is one. */
  readonly validity: Validity | undefined
  /** 0 to 1. */
  readonly jitter: number
}

/**
 * When to try again: after about 1, 10 and 100 minutes, then daily; sooner as the margin before expiry comes
 * near, unless each attempt costs a certificate; not before the CA's Retry-After, of which at most a day, and
 * half of the time to the margin, is obeyed.
 */
export function retryAtMs(failure: Failure): number {
  const { failures, failedAtMs, retryAfterMs = 0, isRejected, isIssued, validity, jitter } = failure
  const scheduledMs = (RETRY_DELAYS_MS[failures - 1] ?? LAST_RETRY_DELAY_MS) * (1 + RETRY_SPREAD * jitter)
  const { crowdedMs, latestMs, lastCallMs } = limits(failedAtMs, validity)
  const askedMs = Math.min(obeyedWaitMs(retryAfterMs), latestMs)
  const countedMs = isRejected && failures > QUICK_REJECTIONS ? Math.min(REJECTED_RETRY_MS, lastCallMs) : 0
  const ownMs = isIssued ? scheduledMs : Math.min(scheduledMs, crowdedMs)
  return failedAtMs + Math.max(ownMs, askedMs, countedMs)
}

/** How much of a CA's Retry-After is obeyed, whatever it says. */
export function obeyedWaitMs(retryAfterMs: number): number {
  return Math.min(retryAfterMs, RETRY_AFTER_CEILING_MS)
}

interface Limits {
  readonly crowdedMs: number
  readonly latestMs: number
  readonly lastCallMs: number
}

/** How long the next attempt may be put off: by our own schedule, by the CA, and by names it tried in vain. */
function limits(nowMs: number, validity: Validity | undefined): Limits {
  if (validity === undefined) return { crowdedMs: Infinity, latestMs: Infinity, lastCallMs: Infinity }
  const lifetimeMs = validity.notAfterMs - validity.notBeforeMs
  if (nowMs >= validity.notAfterMs) {
    const crowdedMs = Math.min(EXPIRED_RETRY_DELAY_MS, lifetimeMs / EXPIRED_RETRIES)
    return { crowdedMs, latestMs: Infinity, lastCallMs: Infinity }
  }
  const lastCallMs = lastCallAtMs(validity)
  const closestMs = Math.min(CLOSEST_RETRY_MS, lifetimeMs / 60)
  const isBeforeLastCall = nowMs < lastCallMs
  const leftMs = (isBeforeLastCall ? lastCallMs : validity.notAfterMs) - nowMs
  const crowdedMs = Math.max(leftMs / CROWDING, closestMs)
  if (!isBeforeLastCall) return { crowdedMs, latestMs: crowdedMs, lastCallMs: Infinity }
  // At the last call itself there is always an attempt, however short ago the one before was. The CA may ask
  // for half of the time until then: one that is away again just at that moment has been asked before.
  return {
    crowdedMs: Math.min(crowdedMs, leftMs),
    latestMs: Math.min(Math.max(leftMs / 2, closestMs), leftMs),
    lastCallMs: leftMs,
  }
}

export interface LeavingOut {
  readonly nowMs: number
  /** Lifetime of the present certificate; undefined if there is none. */
  readonly lifetimeMs: number | undefined
  /** When that was last done. */
  readonly lastTimeMs: number | undefined
  /** Whether a certificate without the failed names would have a name that the present one lacks. */
  readonly addsNames: boolean
  /** The present certificate is past its renewal point. */
  readonly isDue: boolean
}

/**
 * Whether an order that failed for some names is worth repeating without them: at most once a day, or once
 * in a third of a short lifetime, so that the other names never expire for those.
 */
export function mayLeaveOut(order: LeavingOut): boolean {
  const { nowMs, lifetimeMs = Infinity, lastTimeMs, addsNames, isDue } = order
  const pauseMs = Math.min(DAY_MS, lifetimeMs / 3)
  if (lastTimeMs !== undefined && nowMs < lastTimeMs + pauseMs) return false
  return addsNames || isDue
}

/** A number from 0 to 1 that is a certificate's own: its serial's, so that restarts do not draw again. */
export function jitterOf(serial: string): number {
  return (Number.parseInt(serial.slice(-8), 16) || 0) / 0xffff_ffff
}
