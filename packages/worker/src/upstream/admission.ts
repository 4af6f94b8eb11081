// Limits what one upstream, with all of its peers, does at once: the requests that wait for a response head, and the
// connections. Queues requests beyond that. Each step takes constant time, however many wait.
import { ProxyError } from '@reverse-proxy/shared/errors'
import type { BudgetSharer, ConnectionBudget } from './connection-budget.ts'

export interface AdmissionLimits {
  /** Requests and handshakes that wait for a response head. */
  readonly maxAwaitingHead: number
  /** All connections, tunnels among them; Infinity: no bound. */
  readonly maxConnections: number
  /** The longest wait for a turn. */
  readonly queueTimeoutMs: number
}

/** A request or handshake that waits for its turn. */
export interface Waiter {
  /** @param error UPSTREAM_QUEUE_FULL; after the longest wait UPSTREAM_QUEUE_TIMEOUT or UPSTREAM_MAX_CONNECTIONS */
  onAcquireFailed(error: ProxyError): void
}

/** The idle connections of the peers. */
export interface IdleConnections {
  readonly hasIdle: boolean
  /** Closes one. @returns false if there is none */
  closeIdle(): boolean
}

interface Turn {
  /** Takes a connection; to be called when there is room for one, or an idle one. */
  readonly start: () => void
  readonly timer: NodeJS.Timeout
}

const MAX_QUEUED = 1024

export class Admission implements BudgetSharer {
  readonly #idle: IdleConnections
  readonly #budget: ConnectionBudget
  readonly #queue = new Map<Waiter, Turn>()
  #limits: AdmissionLimits
  #awaitingHead = 0
  #connections = 0

  constructor(limits: AdmissionLimits, idle: IdleConnections, budget: ConnectionBudget) {
    this.#limits = limits
    this.#idle = idle
    this.#budget = budget
    budget.join(this)
  }

  configure(limits: AdmissionLimits): void {
    this.#limits = limits
    this.useRoom()
  }

  /** One more request may wait for a response head. */
  get mayAsk(): boolean {
    return this.#awaitingHead < this.#limits.maxAwaitingHead
  }

  /** One more connection may be opened, if necessary in place of an idle one. */
  get mayOpen(): boolean {
    if (this.hasRoom || this.#idle.hasIdle) return true
    return this.#connections < this.#limits.maxConnections && this.#budget.hasIdle(this)
  }

  get hasIdle(): boolean {
    return this.#idle.hasIdle
  }

  get hasRoom(): boolean {
    return this.#connections < this.#limits.maxConnections && this.#budget.hasRoom
  }

  /** There is a connection too many, because a reload has lowered a limit; close the one that has become free. */
  get isBeyond(): boolean {
    return !this.mayAsk || this.#connections > this.#limits.maxConnections
  }

  asked(): void {
    this.#awaitingHead += 1
  }

  /** Call `useRoom` once everything else about it is known. */
  answered(): void {
    this.#awaitingHead -= 1
  }

  /** Beyond the limits, closes an idle connection to make room. */
  opened(): void {
    this.#connections += 1
    this.#budget.opened()
    // Counts the new one first, because closing the idle one lets others ask for its room.
    if (this.#connections > this.#limits.maxConnections) this.closeIdle()
    else if (this.#budget.isExceeded && !this.closeIdle()) this.#budget.closeIdle(this)
  }

  /** Call `useRoom` once everything else about it is known. */
  closed(): void {
    this.#connections -= 1
    this.#budget.closed()
  }

  /** A connection of this upstream has become idle. */
  becameIdle(): void {
    this.useRoom()
    this.#budget.becameIdle()
  }

  /** @returns false if there is none */
  closeIdle(): boolean {
    return this.#idle.closeIdle()
  }

  /** @param start called once, when its turn has come, unless `waiter` is cancelled or has failed */
  enqueue(waiter: Waiter, start: () => void): void {
    if (this.#queue.size >= MAX_QUEUED) {
      waiter.onAcquireFailed(
        new ProxyError('UPSTREAM_QUEUE_FULL', 'too many requests wait for this upstream'),
      )
      return
    }
    const timer = setTimeout(() => {
      this.#queue.delete(waiter)
      waiter.onAcquireFailed(
        this.hasRoom
          ? new ProxyError('UPSTREAM_QUEUE_TIMEOUT', 'no turn came in time')
          : new ProxyError('UPSTREAM_MAX_CONNECTIONS', 'no connection became free in time'),
      )
    }, this.#limits.queueTimeoutMs)
    this.#queue.set(waiter, { start, timer })
    if (!this.#budget.hasRoom) this.#budget.wait(this)
  }

  /** Has no effect on one that does not wait. */
  cancel(waiter: Waiter): void {
    const turn = this.#queue.get(waiter)
    if (turn === undefined) return
    clearTimeout(turn.timer)
    this.#queue.delete(waiter)
  }

  /** Serves the queue in order, as far as there is room. */
  useRoom(): void {
    while (this.#queue.size > 0 && this.mayAsk && this.mayOpen) this.#serveFirst()
    if (this.#queue.size > 0 && !this.#budget.hasRoom) this.#budget.wait(this)
  }

  /** Call when no new requests arrive. Those in the queue still get their turn. */
  close(): void {
    this.#budget.leave(this)
  }

  #serveFirst(): void {
    for (const [waiter, { start, timer }] of this.#queue) {
      clearTimeout(timer)
      this.#queue.delete(waiter)
      start()
      return
    }
  }
}
