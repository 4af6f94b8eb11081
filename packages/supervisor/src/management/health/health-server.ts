// The HTTP server on 127.0.0.1:health_check_port: liveness, readiness, metrics and the status page. It accepts GET and
// HEAD only, and only with a Host that names this machine: a page of another site must not read it through a browser.
import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer } from 'node:http'
import { isIP } from 'node:net'
import { type Clock, monotonicClock } from '@reverse-proxy/shared/clock'
import { codeOf } from '@reverse-proxy/shared/error-text'
import type { ReportBuilder } from '../reports/report-builder.ts'
import { describeBindFailure } from '../../workers/boot-failure.ts'
import type { LocalRateLimitAuthority } from '../../rate-limit/authority.ts'
import { METRICS_TYPE, renderMetrics, type MetricSources } from './metrics.ts'
import { EVENT_STREAM, StatusFeed, STATUS_PAGE_FILES, type StatusFeedSources } from '../page/status-page.ts'
import type { TrafficTotals } from '../../workers/traffic-totals.ts'

const ADDRESS = '127.0.0.1'
/** Probes, a scraper and a few people with the page open. */
const MAX_CONNECTIONS = 64
/** For a request, for the next request on a connection, and for a client that does not read. */
const TIMEOUT_MS = 5_000
/** How often Node checks for requests past their timeout; its default is 30 s. */
const CHECKING_INTERVAL_MS = 1_000
const MAX_REQUESTS_PER_CONNECTION = 16
const METRICS_MAX_AGE_MS = 1_000

export interface HealthSources extends StatusFeedSources {
  readonly reports: Pick<ReportBuilder, 'status' | 'workers' | 'certs' | 'isAlive'>
  readonly traffic: Pick<TrafficTotals, 'sites' | 'events'>
  readonly rateLimits: Pick<LocalRateLimitAuthority, 'size' | 'leases'>
}

export interface HealthServer {
  close(): Promise<void>
}

/** Throws ProxyError BIND. */
export async function startHealthServer(port: number, sources: HealthSources): Promise<HealthServer> {
  const feed = new StatusFeed(sources)
  const metrics = cachedText(() => renderMetrics(metricSources(sources)), METRICS_MAX_AGE_MS, monotonicClock)
  const server = createServer(
    {
      requestTimeout: TIMEOUT_MS,
      headersTimeout: TIMEOUT_MS,
      keepAliveTimeout: TIMEOUT_MS,
      connectionsCheckingInterval: CHECKING_INTERVAL_MS,
    },
    (request, response) => respond(request, response, { reports: sources.reports, feed, metrics }),
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
  // Keep serving after a failed accept, for example with too many open files.
  server.on('error', () => {})
  return {
    close: async () => {
      feed.close()
      server.close()
      server.closeAllConnections()
    },
  }
}

interface ResponseSources extends Pick<HealthSources, 'reports'> {
  readonly feed: StatusFeed
  readonly metrics: () => Buffer
}

function respond(
  request: IncomingMessage,
  response: ServerResponse,
  { reports, feed, metrics }: ResponseSources,
): void {
  request.resume()
  if (!namesThisMachine(request.headers.host))
    return sendText(response, 403, 'Forbidden: use 127.0.0.1 or localhost\n')
  if (request.method !== 'GET' && request.method !== 'HEAD')
    return sendText(response, 405, 'Method Not Allowed\n')
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
      response.writeHead(200, { 'Content-Type': METRICS_TYPE })
      response.end(metrics())
      break
    case '/events':
      if (request.method === 'HEAD') response.writeHead(200, EVENT_STREAM).end()
      else feed.follow(response)
      break
    default: {
      const file = STATUS_PAGE_FILES.get(path)
      if (file === undefined) sendText(response, 404, 'Not Found\n')
      else response.writeHead(200, file.headers).end(file.bytes)
    }
  }
}

function metricSources({ reports, traffic, rateLimits }: HealthSources): MetricSources {
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

/** The last known value when no file descriptor is left to measure with. */
function residentBytes(): number {
  try {
    lastResidentBytes = process.memoryUsage.rss()
  } catch {
    // EMFILE: report the other metrics nevertheless.
  }
  return lastResidentBytes
}

/** HTTP/1.0 probes send no Host. */
function namesThisMachine(host: string | undefined): boolean {
  if (host === undefined) return true
  const name = host.replace(/:\d+$/u, '').replace(/^\[(.*)\]$/u, '$1')
  return name === 'localhost' || isIP(name) !== 0
}

function sendText(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, { 'Content-Type': 'text/plain' }).end(text)
}

/**
 * The result of `make`, which is called at most once in `maxAgeMs` and only on request. All callers share the bytes: do not
 * write to them.
 */
function cachedText(make: () => string, maxAgeMs: number, clock: Clock): () => Buffer {
  let bytes: Buffer | undefined
  let madeAtMs = 0
  return () => {
    const nowMs = clock.nowMs()
    if (bytes === undefined || nowMs - madeAtMs >= maxAgeMs) {
      bytes = Buffer.from(make())
      madeAtMs = nowMs
    }
    return bytes
  }
}
