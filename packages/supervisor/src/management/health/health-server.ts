// 127.0.0.1:health_check_port: is it alive, is it ready, what has it counted, and a page for people. Answers
// reads alone, and only to who names this machine: a page of some other site must not read it through a browser.
import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer } from 'node:http'
import { isIP } from 'node:net'
import { codeOf } from '@reverse-proxy/shared/error-text'
import type { ReportBuilder } from '../reports/report-builder.ts'
import { monotonicClock } from '../../os/monotonic-clock.ts'
import { describeBindFailure } from '../../workers/boot-failure.ts'
import { cachedText } from './cached-text.ts'
import type { LocalRateLimitAuthority } from '../../rate-limit/authority.ts'
import { EXPOSITION_TYPE, renderExposition } from './exposition.ts'
import { metricFamilies } from './metrics.ts'
import type { RecentEvents } from './recent-events.ts'
import { EVENT_STREAM, StatusFeed } from '../page/status-feed.ts'
import { STATUS_PAGE_FILES } from '../page/status-page.ts'
import type { TrafficBook } from './traffic-totals.ts'

const ADDRESS = '127.0.0.1'
/** Probes, a scraper and a few people with the page open. */
const MAX_CONNECTIONS = 64
/** For a request, for the next one, and for whoever does not read. */
const TIMEOUT_MS = 5_000
/** How often Node looks for requests that are late: every 30 s, unless told. */
const CHECKING_INTERVAL_MS = 1_000
/** A connection is pipelined no more than that. */
const MAX_REQUESTS_PER_CONNECTION = 16
const METRICS_MAX_AGE_MS = 1_000

export interface HealthSources {
  readonly reports: Pick<ReportBuilder, 'status' | 'workers' | 'certs' | 'isAlive'>
  readonly traffic: TrafficBook
  readonly rateLimits: Pick<LocalRateLimitAuthority, 'size' | 'leases'>
  readonly events: Pick<RecentEvents, 'latest'>
}

export interface HealthServer {
  close(): Promise<void>
}

/** Throws ProxyError BIND. */
export async function startHealthServer(port: number, sources: HealthSources): Promise<HealthServer> {
  const feed = new StatusFeed(sources)
  const metrics = cachedText(
    () => renderExposition(metricFamilies(metricSources(sources))),
    METRICS_MAX_AGE_MS,
    monotonicClock,
  )
  const server = createServer(
    {
      requestTimeout: TIMEOUT_MS,
      headersTimeout: TIMEOUT_MS,
      keepAliveTimeout: TIMEOUT_MS,
      connectionsCheckingInterval: CHECKING_INTERVAL_MS,
    },
    (request, response) => answer(request, response, { reports: sources.reports, feed, metrics }),
  )
  server.maxConnections = MAX_CONNECTIONS
  server.maxRequestsPerSocket = MAX_REQUESTS_PER_CONNECTION
  // Closes connections that are silent in both directions; an open page receives events more often.
  server.setTimeout(TIMEOUT_MS)
  server.listen(port, ADDRESS)
  try {
    await once(server, 'listening')
  } catch (error) {
    const code = codeOf(error) ?? String(error)
    throw await describeBindFailure({ address: ADDRESS, port, code })
  }
  // One failed accept, too many open files say, is no reason to end.
  server.on('error', () => {})
  return {
    close: async () => {
      feed.close()
      server.close()
      server.closeAllConnections()
    },
  }
}

interface AnswerSources extends Pick<HealthSources, 'reports'> {
  readonly feed: StatusFeed
  readonly metrics: () => Buffer
}

function answer(
  request: IncomingMessage,
  response: ServerResponse,
  { reports, feed, metrics }: AnswerSources,
): void {
  request.resume()
  if (!namesThisMachine(request.headers.host))
    return say(response, 403, 'Forbidden: ask for 127.0.0.1 or localhost\n')
  if (request.method !== 'GET' && request.method !== 'HEAD') return say(response, 405, 'Method Not Allowed\n')
  const [path = ''] = (request.url ?? '').split('?')
  switch (path) {
    case '/health':
      response.writeHead(reports.isAlive() ? 200 : 503, { 'Content-Length': 0 }).end()
      break
    case '/health/ready': {
      const status = reports.status()
      response.writeHead(status.ready ? 200 : 503, { 'Content-Type': 'application/json' })
      response.end(`${JSON.stringify(status)}\n`)
      break
    }
    case '/metrics':
      response.writeHead(200, { 'Content-Type': EXPOSITION_TYPE })
      response.end(metrics())
      break
    case '/events':
      if (request.method === 'HEAD') response.writeHead(200, EVENT_STREAM).end()
      else feed.follow(response)
      break
    default: {
      const file = STATUS_PAGE_FILES.get(path)
      if (file === undefined) say(response, 404, 'Not Found\n')
      else response.writeHead(200, file.headers).end(file.bytes)
    }
  }
}

function metricSources({
  reports,
  traffic,
  rateLimits,
}: HealthSources): Parameters<typeof metricFamilies>[0] {
  return {
    status: reports.status(),
    workers: reports.workers(),
    certs: reports.certs(),
    traffic,
    rateLimits,
    supervisorRssBytes: residentBytes(),
  }
}

let lastResidentBytes = 0

/** As last measured, when no descriptor is left to measure with. */
function residentBytes(): number {
  try {
    lastResidentBytes = process.memoryUsage.rss()
  } catch {
    // EMFILE: metrics are wanted then more than ever.
  }
  return lastResidentBytes
}

/** HTTP/1.0 probes name nobody. */
function namesThisMachine(host: string | undefined): boolean {
  if (host === undefined) return true
  const name = host.replace(/:\d+$/u, '').replace(/^\[(.*)\]$/u, '$1')
  return name === 'localhost' || isIP(name) !== 0
}

function say(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, { 'Content-Type': 'text/plain' }).end(text)
}
