// Limits the connections of a worker to all of its upstreams together, so that event streams and tunnels never use up
// its descriptors. When none is left, an upstream closes an idle connection of another one, or waits.

/** An upstream that shares the budget. */
export interface BudgetSharer {
  readonly hasIdle: boolean
  /** Closes an idle connection. @returns false if there is none */
  closeIdle(): boolean
  /** Serves waiting requests as far as there is room. */
  useRoom(): void
}

export class ConnectionBudget {
  readonly #sharers = new Set<BudgetSharer>()
  readonly #waiting = new Set<BudgetSharer>()
  #max = Infinity
  #open = 0

  /** @param max connections; Infinity: no bound */
  configure(max: number): void {
    this.#max = max
    this.#wake()
  }

  get hasRoom(): boolean {
    return this.#open < this.#max
  }

  get isExceeded(): boolean {
    return this.#open > this.#max
  }

  join(sharer: BudgetSharer): void {
    this.#sharers.add(sharer)
  }

  leave(sharer: BudgetSharer): void {
    this.#sharers.delete(sharer)
  }

  opened(): void {
    this.#open += 1
  }

  closed(): void {
    this.#open -= 1
    this.#wake()
  }

  /** Its `useRoom` is called once when there may be room. */
  wait(sharer: BudgetSharer): void {
    this.#waiting.add(sharer)
  }

  /** Another one than `asking` has an idle connection. */
  hasIdle(asking: BudgetSharer): boolean {
    for (const sharer of this.#sharers) if (sharer !== asking && sharer.hasIdle) return true
    return false
  }

  /** Closes an idle connection of another one than `asking`, if there is one. */
  closeIdle(asking: BudgetSharer): void {
    for (const sharer of this.#sharers) if (sharer !== asking && sharer.closeIdle()) return
  }

  /** A connection has become idle; another upstream may need its room. */
  becameIdle(): void {
    if (this.#waiting.size > 0) this.#wake()
  }

  #wake(): void {
    if (this.#waiting.size === 0) return
    const waiting = [...this.#waiting]
    this.#waiting.clear()
    for (const sharer of waiting) sharer.useRoom()
  }
}
