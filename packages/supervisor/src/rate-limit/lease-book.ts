// Which worker holds which lease. Keeps the books only: what an ended lease does to its bucket is up to
// whoever reads them. Pure.

const SWEEP_INTERVAL_MS = 50

export interface HeldLease {
  readonly key: string
  /** Taken from the overflow bucket of the key's scope. */
  readonly isOverflow: boolean
  /** Not reported as spent or returned. */
  tokens: number
  /** From then on nobody waits for a report any more. */
  readonly overdueAtMs: number
}

export class LeaseBook {
  /** By worker, then by key; all leases last equally long, so the first of a worker ends first. */
  readonly #leases = new Map<number, Map<string, HeldLease>>()
  #nextSweepMs = 0

  get size(): number {
    return [...this.#leases.values()].reduce((sum, ofWorker) => sum + ofWorker.size, 0)
  }

  /** There must be none under this key: see `end`. */
  add(worker: number, lease: HeldLease): void {
    let ofWorker = this.#leases.get(worker)
    if (ofWorker === undefined) this.#leases.set(worker, (ofWorker = new Map()))
    ofWorker.set(lease.key, lease)
  }

  find(worker: number, key: string): HeldLease | undefined {
    return this.#leases.get(worker)?.get(key)
  }

  /** Strikes out the lease and returns it as it was. */
  end(worker: number, key: string): HeldLease | undefined {
    const lease = this.find(worker, key)
    this.#leases.get(worker)?.delete(key)
    return lease
  }

  /** Strikes out all leases that a worker held. */
  endAll(worker: number): HeldLease[] {
    const leases = [...(this.#leases.get(worker)?.values() ?? [])]
    this.#leases.delete(worker)
    return leases
  }

  /** Strikes out what has been waited for too long; looks only now and then. */
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
