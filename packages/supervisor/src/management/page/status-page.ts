// The status page: its files, read once, and its server-sent events, which are one snapshot at once and then one every
// two seconds while at least one page is open.
import { readFileSync } from 'node:fs'
import type { ServerResponse } from 'node:http'
import { HEARTBEAT_INTERVAL_MS } from '@reverse-proxy/shared/ipc/messages'
import {
  DURATION_BOUNDS_MS,
  emptySiteCounts,
  addSiteCounts,
  STATUS_CLASSES,
  type SiteCounts,
} from '@reverse-proxy/shared/traffic-counts'
import type { TrafficTotals } from '../../workers/traffic-totals.ts'
import type { ReportBuilder } from '../reports/report-builder.ts'
import type { StatusReport } from '../reports/reports.ts'
import type { RecentEvents } from './recent-events.ts'

/** Content-Security-Policy: the page's own files and its event stream, nothing else. */
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ')

interface PageFile {
  readonly headers: Readonly<Record<string, string>>
  readonly bytes: Buffer
}

/** By request path. */
export const STATUS_PAGE_FILES: ReadonlyMap<string, PageFile> = new Map([
  ['/', pageFile('status-page.html', 'text/html')],
  ['/status-page.css', pageFile('status-page.css', 'text/css')],
  ['/status-page.js', pageFile('status-page.js', 'text/javascript')],
])

function pageFile(name: string, type: string): PageFile {
  return {
    headers: {
      'Content-Type': `${type}; charset=utf-8`,
      'Content-Security-Policy': POLICY,
      'X-Content-Type-Options': 'nosniff',
    },
    bytes: readFileSync(new URL(`../../../assets/${name}`, import.meta.url)),
  }
}

const MAX_FOLLOWERS = 16
/** A follower that does not read is disconnected. */
const MAX_BUFFERED_BYTES = 4 * 1024 * 1024
/** Shows only the busiest sites. */
const MAX_SITES = 50

/** Header fields of its response. */
export const EVENT_STREAM = { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-store' }

export interface StatusFeedSources {
  readonly reports: Pick<ReportBuilder, 'status' | 'workers' | 'certs'>
  readonly traffic: Pick<TrafficTotals, 'sites'>
  readonly events: Pick<RecentEvents, 'latest'>
}

export class StatusFeed {
  readonly #sources: StatusFeedSources
  readonly #followers = new Set<ServerResponse>()
  #timer: NodeJS.Timeout | undefined

  constructor(sources: StatusFeedSources) {
    this.#sources = sources
  }

  follow(response: ServerResponse): void {
    if (this.#followers.size >= MAX_FOLLOWERS) {
      response.writeHead(503, { 'Content-Type': 'text/plain' }).end('Too many pages are open\n')
      return
    }
    response.writeHead(200, EVENT_STREAM)
    this.#followers.add(response)
    response.once('close', () => this.#forget(response))
    response.write(this.#event())
    this.#timer ??= setInterval(() => this.#send(), HEARTBEAT_INTERVAL_MS).unref()
  }

  close(): void {
    clearInterval(this.#timer)
    for (const response of this.#followers) response.destroy()
  }

  #forget(response: ServerResponse): void {
    this.#followers.delete(response)
    if (this.#followers.size > 0) return
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  #send(): void {
    const event = this.#event()
    for (const response of this.#followers) {
      if (response.writableLength > MAX_BUFFERED_BYTES) response.destroy()
      else response.write(event)
    }
  }

  #event(): string {
    const { reports, traffic, events } = this.#sources
    const total = emptySiteCounts('')
    for (const counts of traffic.sites) addSiteCounts(total, counts)
    const snapshot = {
      at: Date.now(),
      status: withoutReasons(reports.status()),
      workers: reports.workers().workers,
      certificates: reports.certs().certificates,
      durationBoundsMs: DURATION_BOUNDS_MS,
      total: { ...summarise(total), durations: total.durations },
      sites: traffic.sites
        .map(summarise)
        .toSorted((a, b) => b.requests - a.requests)
        .slice(0, MAX_SITES),
      events: events.latest,
    }
    return `data: ${JSON.stringify(snapshot)}\n\n`
  }
}

/** Leaves out why a reload failed: the events show that once, rather than with every snapshot. */
function withoutReasons(status: StatusReport): StatusReport {
  const { last_reload: last } = status
  return last === null ? status : { ...status, last_reload: { ...last, message: null, errors: [] } }
}

interface SiteSummary {
  readonly site: string
  readonly requests: number
  readonly clientErrors: number
  readonly serverErrors: number
  readonly meanMs: number
  readonly bytes: number
}

function summarise({ site, requests, durationSumMs, responseBytes }: SiteCounts): SiteSummary {
  const ofClass = (statusClass: (typeof STATUS_CLASSES)[number]): number => {
    const column = STATUS_CLASSES.indexOf(statusClass)
    return sum(requests.filter((_, index) => index % STATUS_CLASSES.length === column))
  }
  const all = sum(requests)
  return {
    site,
    requests: all,
    clientErrors: ofClass('4xx'),
    serverErrors: ofClass('5xx'),
    meanMs: all === 0 ? 0 : durationSumMs / all,
    bytes: responseBytes,
  }
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}
