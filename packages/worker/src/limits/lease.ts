// What one worker holds of one client's bucket, and how much of it the client uses. Pure.
import { RATE_LEASE_MS } from '@reverse-proxy/shared/rate-limits'

/** A lease is meant to last a busy client about this long. */
const AHEAD_MS = 250
/** What happened in less time than this says nothing about a client's pace. */
const SHORTEST_SAMPLE_MS = 20

/** Whoever waits for the authority's word on a request. */
export interface RateWaiter {
  /** @param retryAfterSecs 0: admitted; else refused, and when to come again */
  onRateVerdict(retryAfterSecs: number): void
}

export class Lease {
  readonly key: string
  /** Spent tokens are reported at once when there are this many, else when the lease ends or with another message. */
  readonly reportAt: number
  tokens = 0
  /** Monotonic; from then on not one more token may be spent. */
  endsAtMs = 0
  spent = 0
  returned = 0
  waiters: RateWaiter[] = []
  /** A request for more is to be sent, or its answer has not come yet. */
  isAsking = false
  /** Its report is to be sent. */
  isReporting = false
  #uses = 0
  #askedAtMs: number | undefined

  constructor(key: string, reportAt: number) {
    this.key = key
    this.reportAt = reportAt
  }

  /** One token for one request, if there is one. */
  spend(nowMs: number): boolean {
    if (this.tokens === 0 || nowMs >= this.endsAtMs) return false
    this.tokens--
    this.spent++
    this.#uses++
    return true
  }

  /** Whatever is left will be returned. */
  end(): void {
    this.returned += this.tokens
    this.tokens = 0
  }

  /**
   * At the moment the request for more is sent: what is granted ends by our clock from here on.
   * @returns how many tokens beyond the waiting requests the client will use in the next AHEAD_MS
   *   if it goes on as it did since the last time; 0 the first time
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
