// Counts what happens, by looking at what the log is told: every request in its site's row, every other event
// by its kind. The supervisor is told with each beat what is new.
import type { Log, LogEvent, LogFields } from '@reverse-proxy/shared/log-fields'
import { ObservedLog, type LogLevel } from '@reverse-proxy/shared/observed-log'
import type { EventCount, SiteCounts, TrafficCounts } from '@reverse-proxy/shared/traffic-counts'
import {
  DURATION_BOUNDS_MS,
  emptySiteCounts,
  PROTOCOLS,
  STATUS_CLASSES,
} from '@reverse-proxy/shared/traffic-counts'
import type { RequestEntry } from './http/access-log-entry.ts'

/** The field that tells the kinds of an event apart; its values are words of ours or codes of the runtime. */
const DETAIL_FIELDS: Partial<Record<LogEvent, string>> = {
  TLS_ESTABLISHED: 'resumed',
  TLS_REJECTED: 'reason',
  TLS_FAILED: 'error',
  UPSTREAM_ERROR: 'error',
  CLIENT_ERROR: 'error',
  CONNECTION_LIMIT: 'limit',
}
/** Kinds that are counted one by one: whatever a peer brings forth beyond is counted together. */
const MAX_KINDS = 200

export class TrafficMetrics {
  #sites = new Map<string, SiteCounts>()
  #events = new Map<string, EventCount>()
  #requests = 0

  /** Since the worker started. */
  get requests(): number {
    return this.#requests
  }

  /** What has been counted since the last time. */
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

  countEvent(event: LogEvent, fields: LogFields = {}): void {
    const detail = String(fields[DETAIL_FIELDS[event] ?? ''] ?? '')
    // Some lines stand for many of their kind.
    const count = typeof fields['count'] === 'number' ? fields['count'] : 1
    // The kind without detail has its place also where others have none left; of events there are not many.
    if (!this.#addTo(event, detail, count, MAX_KINDS)) this.#addTo(event, '', count, Infinity)
  }

  #addTo(event: LogEvent, detail: string, count: number, maxKinds: number): boolean {
    const key = `${event} ${detail}`
    const known = this.#events.get(key)
    if (known !== undefined) known.count += count
    else if (this.#events.size < maxKinds) this.#events.set(key, { event, detail, count })
    else return false
    return true
  }
}

/** Passes everything on, and counts it, also what is below the log's level. */
export class CountingLog extends ObservedLog {
  readonly #metrics: TrafficMetrics

  constructor(log: Log, metrics: TrafficMetrics) {
    super(log)
    this.#metrics = metrics
  }

  protected override observe(_level: LogLevel, event: LogEvent, fields?: LogFields): void {
    this.#metrics.countEvent(event, fields)
  }
}

function durationIndex(durationMs: number): number {
  let index = 0
  while (index < DURATION_BOUNDS_MS.length && durationMs > DURATION_BOUNDS_MS[index]!) index++
  return index
}
