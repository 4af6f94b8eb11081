// Counts the offences of each client within a time. Exact, and bounded: of too many clients, the one that has offended
// least recently is forgotten. Pure.
import type { BanRule } from '@reverse-proxy/shared/config/config'
import { bucketKey, parseBucketKey } from '@reverse-proxy/shared/rate-limit/rate-limits'

export interface OffenceCapacity {
  readonly clients: number
  readonly offences: number
}

/** About 30 MB. */
const CAPACITY: OffenceCapacity = { clients: 100_000, offences: 1_000_000 }

interface Offender {
  /** Times of the offences that count, the oldest first. */
  readonly times: number[]
  /** The last of them counts until then. */
  endMs: number
}

export class OffenceCounts {
  readonly #capacity: OffenceCapacity
  /** By scope and client; the one that has offended least recently first. */
  readonly #offenders = new Map<string, Offender>()
  #offences = 0

  constructor(capacity: OffenceCapacity = CAPACITY) {
    this.#capacity = capacity
  }

  /** Number of clients, each counted once for each scope. */
  get size(): number {
    return this.#offenders.size
  }

  /** @returns true: the client has reached the number of the rule; its count begins anew */
  add(client: string, count: number, rule: BanRule, nowMs: number): boolean {
    const key = bucketKey(rule.scope, client)
    const times = this.#take(key)
    let first = 0
    while (first < times.length && times[first]! <= nowMs - rule.withinMs) first += 1
    times.splice(0, first)
    for (let i = Math.min(count, rule.after); i > 0; i--) times.push(nowMs)
    if (times.length >= rule.after) return true
    this.#offenders.set(key, { times, endMs: nowMs + rule.withinMs })
    this.#offences += times.length
    this.#makeRoom(nowMs)
    return false
  }

  /** In every scope. */
  forget(client: string): void {
    for (const key of this.#offenders.keys()) if (parseBucketKey(key).client === client) this.#take(key)
  }

  clear(): void {
    this.#offenders.clear()
    this.#offences = 0
  }

  #take(key: string): number[] {
    const times = this.#offenders.get(key)?.times ?? []
    this.#offenders.delete(key)
    this.#offences -= times.length
    return times
  }

  #makeRoom(nowMs: number): void {
    for (const [key, { endMs }] of this.#offenders) {
      const isOver = this.#offenders.size > this.#capacity.clients || this.#offences > this.#capacity.offences
      if (!isOver && endMs > nowMs) return
      this.#take(key)
    }
  }
}
