// How long a connection to an upstream is kept without a request. Pure.

/** Shorter than any common server's own limit, so that it is we who close; a server's hint may lengthen it. */
const IDLE_TIMEOUT_MS = 4_000
const MAX_IDLE_TIMEOUT_MS = 60_000
/** An upstream that says how long it waits means from then on, not from when we hear of it. */
const HINT_MARGIN_MS = 1_000

/**
 * @param hintSecs what the upstream has said about itself
 * @param isBound a client has been authenticated on it, and would have to be again
 */
export function idleTimeoutMs(hintSecs: number | undefined, isBound: boolean): number {
  if (hintSecs === undefined) return isBound ? MAX_IDLE_TIMEOUT_MS : IDLE_TIMEOUT_MS
  return Math.min(Math.max(hintSecs * 1000 - HINT_MARGIN_MS, 0), MAX_IDLE_TIMEOUT_MS)
}
