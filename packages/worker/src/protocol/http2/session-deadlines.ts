// The deadlines of a client on one HTTP/2 connection: for its first SETTINGS, for a header section, and without an open
// stream. They are data, which the session checks from time to time. Pure.

export interface DeadlineLimits {
  readonly requestHeaderTimeoutMs: number
  readonly keepAliveTimeoutMs: number
}

export interface SessionActivity {
  /** The client's SETTINGS have arrived. */
  readonly isGreeted: boolean
  readonly openStreams: number
  /** Streams opened so far. */
  readonly requests: number
}

export type Overdue = 'none' | 'head' | 'idle'

export class SessionDeadlines {
  readonly #startedMs: number
  #idleSinceMs: number
  #headSinceMs: number | undefined
  #requestsSeen = 0

  constructor(nowMs: number) {
    this.#startedMs = nowMs
    this.#idleSinceMs = nowMs
  }

  /** Call after bytes have arrived. @param isWithinHead a header section has begun */
  received(isWithinHead: boolean, nowMs: () => number): void {
    if (!isWithinHead) this.#headSinceMs = undefined
    else this.#headSinceMs ??= nowMs()
  }

  /** Returns the deadline that the client has missed. */
  look(activity: SessionActivity, nowMs: number, limits: DeadlineLimits): Overdue {
    const { isGreeted, openStreams, requests } = activity
    if (openStreams > 0 || requests !== this.#requestsSeen) this.#idleSinceMs = nowMs
    this.#requestsSeen = requests
    const headSinceMs = isGreeted ? this.#headSinceMs : this.#startedMs
    if (headSinceMs !== undefined && nowMs - headSinceMs >= limits.requestHeaderTimeoutMs) return 'head'
    return nowMs - this.#idleSinceMs >= limits.keepAliveTimeoutMs ? 'idle' : 'none'
  }
}
