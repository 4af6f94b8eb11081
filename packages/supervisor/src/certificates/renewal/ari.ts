// ACME renewal information: when the CA would like a certificate to be renewed (RFC 9773). Pure: what its
// answer means, which moment of its window is ours, and when to ask again. Everything a CA sends here may be
// absurd; the lifetime rule of renewal.ts bounds it.
import { HOUR_MS, MINUTE_MS } from '@reverse-proxy/shared/time-units'
import { isRecord } from '@reverse-proxy/shared/json'
import type { RenewalWindow } from '../certificate.ts'
import type { Validity } from '../crypto/inspect.ts'

export interface RenewalInfo {
  readonly window: RenewalWindow
  /** A page for people, of the CA's choosing. */
  readonly explanationUrl: string | undefined
}

/** RFC 9773 4.3.3: where the CA does not say when to ask again. */
const LOOK_AGAIN_MS = 6 * HOUR_MS
/** A certificate that has been revoked is noticed within this. */
const LONGEST_PAUSE_MS = 12 * HOUR_MS
/** Polls per lifetime of a certificate: one that lasts an hour needs more than two a day. */
const LOOKS_PER_LIFETIME = 10
const SHORTEST_PAUSE_MS = MINUTE_MS

/** RFC 3339, with the seconds and the zone that RFC 9773 wants. */
const TIMESTAMP = /^\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(?:\.\d+)?(?:[Zz]|[+-]\d{2}:\d{2})$/u
const URL_CHARACTERS = 500

/** RFC 9773 4.2: reads a renewalInfo resource; returns the reason as text if it is invalid. */
export function parseRenewalInfo(data: unknown): RenewalInfo | string {
  const suggested = isRecord(data) ? data['suggestedWindow'] : undefined
  if (!isRecord(data) || !isRecord(suggested)) return 'the answer holds no suggested window'
  const [startMs, endMs] = [parseTimestamp(suggested['start']), parseTimestamp(suggested['end'])]
  if (startMs === undefined || endMs === undefined) return 'the suggested window has no sound dates'
  if (endMs <= startMs) return 'the suggested window ends before it starts'
  const explanation = data['explanationURL']
  const isUrl = typeof explanation === 'string' && explanation.length <= URL_CHARACTERS
  return { window: { startMs, endMs }, explanationUrl: isUrl ? explanation : undefined }
}

function parseTimestamp(value: unknown): number | undefined {
  if (typeof value !== 'string' || !TIMESTAMP.test(value)) return undefined
  const timeMs = Date.parse(value)
  return Number.isNaN(timeMs) ? undefined : timeMs
}

/**
 * Our moment of a window, evenly drawn by `random` (0 to 1) from the part of it that lies before
 * `latestMs`, the backstop; undefined if it has no such part.
 */
export function chooseTime(
  { startMs, endMs }: RenewalWindow,
  latestMs: number,
  random: number,
): number | undefined {
  if (startMs >= latestMs) return undefined
  return startMs + (Math.min(endMs, latestMs) - startMs) * random
}

/**
 * How long until the CA is asked again: as it says, but at least a minute, at most 12 hours and a tenth of
 * the lifetime. After `failures` in a row ever longer, starting at a minute.
 */
export function pauseMs(retryAfterMs: number | undefined, failures: number, validity: Validity): number {
  const longestMs = longestPauseMs(validity)
  const wantedMs =
    failures === 0
      ? (retryAfterMs ?? LOOK_AGAIN_MS)
      : Math.max(SHORTEST_PAUSE_MS * 2 ** (failures - 1), retryAfterMs ?? 0)
  return Math.min(Math.max(wantedMs, SHORTEST_PAUSE_MS), longestMs)
}

/** No pause is longer: a time farther off was noted under another clock. */
export function longestPauseMs({ notBeforeMs, notAfterMs }: Validity): number {
  return Math.min(LONGEST_PAUSE_MS, (notAfterMs - notBeforeMs) / LOOKS_PER_LIFETIME)
}
