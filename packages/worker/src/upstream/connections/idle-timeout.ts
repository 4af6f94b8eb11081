// Decides how long a connection to an upstream is kept without a request. Pure.

/** Shorter than the limit of any common server, so that we close first. A hint of the server may lengthen it. */
const IDLE_TIMEOUT_MS = 4_000
const MAX_IDLE_TIMEOUT_MS = 60_000
/** The upstream counts from when it sent the hint, not from when we receive it. */
const HINT_MARGIN_MS = 1_000

/**
 * @param hintSecs the timeout of the upstream's Keep-Alive field
 * @param isBound a client has authenticated on it, and would have to do so again
 */
export function idleTimeoutMs(hintSecs: number | undefined, isBound: boolean): number {
  if (hintSecs === undefined) return isBound ? MAX_IDLE_TIMEOUT_MS : IDLE_TIMEOUT_MS
  return Math.min(Math.max(hintSecs * 1000 - HINT_MARGIN_MS, 0), MAX_IDLE_TIMEOUT_MS)
}
