// When a CA would like a certificate to be renewed: RFC 9773 4.2. The usual answer, and every odd one.
import { answerOf, withHeaders } from './exchange.ts'
import type { Answer } from './exchange.ts'
import type { IssuedCertificate } from './issued.ts'

const DAY_MS = 24 * 60 * 60 * 1000
const SHORT_LIFETIME_MS = 10 * DAY_MS
/** Each side of the middle, of the lifetime. */
const HALF_WIDTH = 0.01
const POLL_AGAIN_SECONDS = 6 * 60 * 60

export interface RenewalInfo {
  /** RFC 3339, or whatever a broken CA sends. */
  readonly start: string
  readonly end: string
  readonly explanationUrl?: string
  /** The header as it goes over the wire; six hours if not given. */
  readonly retryAfter?: string
}

/** What the CA says of a certificate; undefined for one that it will not speak of. */
export type SuggestRenewal = (certificate: IssuedCertificate) => RenewalInfo | undefined

/** As Boulder: a third of the lifetime before the end, half for short lives. */
export const suggestAsUsual: SuggestRenewal = (certificate) =>
  suggestAt(certificate.notAfterMs - certificate.notBeforeMs < SHORT_LIFETIME_MS ? 1 / 2 : 2 / 3)(certificate)

/**
 * A window 2 % of the lifetime wide about a point of it: 0 is notBefore, 1 is notAfter. Below 0 lies the
 * past (a revocation), above 1 what comes after the expiry.
 */
export function suggestAt(point: number): SuggestRenewal {
  return ({ notBeforeMs, notAfterMs }) => {
    const lifetimeMs = notAfterMs - notBeforeMs
    const middleMs = notBeforeMs + point * lifetimeMs
    return windowOf(middleMs - HALF_WIDTH * lifetimeMs, middleMs + HALF_WIDTH * lifetimeMs)
  }
}

export function windowOf(startMs: number, endMs: number): RenewalInfo {
  return { start: new Date(startMs).toISOString(), end: new Date(endMs).toISOString() }
}

export function renewalInfoAnswer({ start, end, explanationUrl, retryAfter }: RenewalInfo): Answer {
  const body = { suggestedWindow: { start, end }, explanationURL: explanationUrl }
  return withHeaders(answerOf(200, 'application/json', JSON.stringify(body)), {
    'retry-after': retryAfter ?? String(POLL_AGAIN_SECONDS),
  })
}
