// The tokens of one client's bucket that this worker holds, and how fast the client uses them. Pure.
import { RATE_LEASE_MS } from '@reverse-proxy/shared/rate-limit/rate-limits'

/** A lease is sized to last a busy client about this long. */
const AHEAD_MS = 250
/** A shorter time is too short to measure a client's pace. */
const SHORTEST_SAMPLE_MS = 20

/** A request that waits for the authority's decision. */
export interface RateWaiter {
  /** @param retryAfterSecs ADMITTED, or the seconds after which the client may retry */
  onRateDecision(retryAfterSecs: number): void
}

export class Lease {
  readonly key: string
  /** This many spent tokens are reported at once; fewer with the next message or when the lease ends. */
  readonly reportAt: number
  tokens = 0
  /** Monotonic. No token may be spent from then on. */
  endsAtMs = 0
  spent = 0
  returned = 0
  waiters: RateWaiter[] = []
  /** A request for more tokens is queued or unanswered. */
  isAsking = false
  /** Its report is queued. */
  isReporting = false
  #uses = 0
  #askedAtMs: number | undefined

  constructor(key: string, reportAt: number) {
    this.key = key
    this.reportAt = reportAt
  }

  /** Spends one token for one request. False if there is none. */
  spend(nowMs: number): boolean {
    if (this.tokens === 0 || nowMs >= this.endsAtMs) return false
    this.tokens--
    this.spent++
    this.#uses++
    return true
  }

  /** Gives up the remaining tokens; the next report returns them. */
  end(): void {
    this.returned += this.tokens
    this.tokens = 0
  }

  /**
   * Call when the request for more tokens is sent: the grant expires RATE_LEASE_MS after this moment.
   * @returns tokens beyond the waiting requests that the client will use in the next AHEAD_MS if it keeps its pace
   *   since the last call; 0 the first time
   */
  ask(nowMs: number): number {
    const sinceMs =
      this.#askedAtMs === undefined ? Infinity : Math.max(SHORTEST_SAMPLE_MS, nowMs - this.#askedAtMs)
    const ahead = Math.round((this.#uses * AHEAD_MS) / sinceMs)
    this.#uses = 0
    this.#askedAtMs = nowMs
    this.endsAtMs = nowMs + RATE_LEASE_MS
    return ahead
  }

  get hasReport(): boolean {
    return this.spent > 0 || this.returned > 0
  }
}
