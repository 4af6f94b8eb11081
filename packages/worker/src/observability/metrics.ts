// Counts requests by site and other events by kind. Each heartbeat carries the new counts to the supervisor.
import type {
  CountedEvent,
  EventCount,
  SiteCounts,
  TrafficCounts,
} from '@reverse-proxy/shared/traffic-counts'
import {
  DURATION_BOUNDS_MS,
  emptySiteCounts,
  PROTOCOLS,
  STATUS_CLASSES,
} from '@reverse-proxy/shared/traffic-counts'
import type { RequestEntry } from './access-log-entry.ts'

/** Counts an event where it happens. */
export interface EventCounter {
  /** @param detail the cause: a fixed word, or an error code of the runtime; '' if the event has only one */
  count(event: CountedEvent, detail?: string, by?: number): void
}

/** Kinds counted separately; a peer that provokes further kinds gets them counted together. */
const MAX_KINDS = 200

export class TrafficMetrics implements EventCounter {
  #sites = new Map<string, SiteCounts>()
  #events = new Map<string, EventCount>()
  #requests = 0

  /** Number of requests since the worker started. */
  get requests(): number {
    return this.#requests
  }

  /** Returns and resets the counts. */
  take(): TrafficCounts {
    const counts = { sites: [...this.#sites.values()], events: [...this.#events.values()] }
    this.#sites = new Map()
    this.#events = new Map()
    return counts
  }

  countRequest({ site = '', proto, status, durationMs, bytes }: RequestEntry): void {
    this.#requests++
    let counts = this.#sites.get(site)
    if (counts === undefined) {
      counts = emptySiteCounts(site)
      this.#sites.set(site, counts)
    }
    const statusClass = Math.min(Math.trunc(status / 100), STATUS_CLASSES.length - 1)
    const index = PROTOCOLS.indexOf(proto) * STATUS_CLASSES.length + statusClass
    counts.requests[index]! += 1
    counts.durations[durationIndex(durationMs)]! += 1
    counts.durationSumMs += durationMs
    counts.responseBytes += bytes
  }

  count(event: CountedEvent, detail = '', by = 1): void {
    // There are few events, so the kind without detail is counted even when the limit is reached.
    if (!this.#addTo(event, detail, by, MAX_KINDS)) this.#addTo(event, '', by, Infinity)
  }

  #addTo(event: CountedEvent, detail: string, count: number, maxKinds: number): boolean {
    const key = `${event} ${detail}`
    const known = this.#events.get(key)
    if (known !== undefined) known.count += count
    else if (this.#events.size < maxKinds) this.#events.set(key, { event, detail, count })
    else return false
    return true
  }
}

function durationIndex(durationMs: number): number {
  let index = 0
  while (index < DURATION_BOUNDS_MS.length && durationMs > DURATION_BOUNDS_MS[index]!) index++
  return index
}
