// Counts what happens to the certificates of each listener, for `certs` and the metrics.

/** Since the supervisor started. */
export interface EventCounts {
  readonly ordered: number
  readonly issued: number
  /** Attempts that failed. */
  readonly failed: number
  readonly expiring: number
  readonly expired: number
}

const NONE: EventCounts = { ordered: 0, issued: 0, failed: 0, expiring: 0, expired: 0 }

export class CertificateCounts {
  readonly #counts = new Map<string, EventCounts>()

  countsOf(listenerId: string): EventCounts {
    return this.#counts.get(listenerId) ?? NONE
  }

  add(listenerId: string, counter: keyof EventCounts): void {
    const counts = this.countsOf(listenerId)
    this.#counts.set(listenerId, { ...counts, [counter]: counts[counter] + 1 })
  }
}
