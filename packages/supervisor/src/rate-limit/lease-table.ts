// Which worker holds which lease. The authority settles ended leases with their buckets. Pure.

const SWEEP_INTERVAL_MS = 50

export interface HeldLease {
  readonly key: string
  /** Taken from the overflow bucket of the key's scope. */
  readonly isOverflow: boolean
  /** Not reported as spent or returned. */
  tokens: number
  /** When the authority stops waiting for the report. */
  readonly overdueAtMs: number
}

export class LeaseTable {
  /** By worker, then by key. All leases last equally long, so those of a worker are ordered by their end. */
  readonly #leases = new Map<number, Map<string, HeldLease>>()
  #nextSweepMs = 0

  get size(): number {
    return [...this.#leases.values()].reduce((sum, ofWorker) => sum + ofWorker.size, 0)
  }

  /** The worker must hold no lease of this key: see `end`. */
  add(worker: number, lease: HeldLease): void {
    let ofWorker = this.#leases.get(worker)
    if (ofWorker === undefined) this.#leases.set(worker, (ofWorker = new Map()))
    ofWorker.set(lease.key, lease)
  }

  find(worker: number, key: string): HeldLease | undefined {
    return this.#leases.get(worker)?.get(key)
  }

  /** Removes the lease and returns it. */
  end(worker: number, key: string): HeldLease | undefined {
    const lease = this.find(worker, key)
    this.#leases.get(worker)?.delete(key)
    return lease
  }

  /** Removes and returns all leases of a worker. */
  endAll(worker: number): HeldLease[] {
    const leases = [...(this.#leases.get(worker)?.values() ?? [])]
    this.#leases.delete(worker)
    return leases
  }

  /** Removes and returns leases whose report is overdue. Looks at most once per SWEEP_INTERVAL_MS. */
  endOverdue(nowMs: number): HeldLease[] {
    const overdue: HeldLease[] = []
    if (nowMs < this.#nextSweepMs) return overdue
    this.#nextSweepMs = nowMs + SWEEP_INTERVAL_MS
    for (const ofWorker of this.#leases.values()) {
      for (const lease of ofWorker.values()) {
        if (nowMs < lease.overdueAtMs) break
        ofWorker.delete(lease.key)
        overdue.push(lease)
      }
    }
    return overdue
  }
}
