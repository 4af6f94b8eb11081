// The content of /metrics: the counts of the workers and the state that admin commands report. Pure. Every label comes
// from the configuration or from a fixed list, so no client can create a series.
import type { CountedEvent, SiteCounts } from '@reverse-proxy/shared/traffic-counts'
import { DURATION_BOUNDS_MS, PROTOCOLS, STATUS_CLASSES } from '@reverse-proxy/shared/traffic-counts'
import type { CertsReport, StatusReport, WorkersReport } from '../reports/reports.ts'
import type { TrafficTotals } from '../../workers/traffic-totals.ts'

export interface MetricSources {
  readonly status: StatusReport
  readonly workers: WorkersReport
  readonly certs: CertsReport
  readonly traffic: Pick<TrafficTotals, 'sites' | 'events'>
  /** `size`: clients with a bucket. `leases`: leases that workers hold. */
  readonly rateLimits: { readonly size: number; readonly leases: number }
  readonly supervisorRssBytes: number
}

export const METRICS_TYPE = 'text/plain; version=0.0.4; charset=utf-8'

const PREFIX = 'reverse_proxy'

interface Sample {
  /** `_bucket`, `_sum` or `_count` of a histogram; '' otherwise. */
  readonly suffix?: string
  readonly labels?: Readonly<Record<string, string>>
  readonly value: number
}

interface MetricFamily {
  readonly name: string
  readonly type: 'counter' | 'gauge' | 'histogram'
  readonly help: string
  readonly samples: readonly Sample[]
}

/** In the text format of Prometheus, version 0.0.4. Leaves out families without a sample. */
export function renderMetrics(sources: MetricSources): string {
  const { traffic, certs } = sources
  const families = [...trafficFamilies(traffic), ...stateFamilies(sources), ...certificateFamilies(certs)]
  return families
    .filter(({ samples }) => samples.length > 0)
    .map(({ name, type, help, samples }) => {
      const lines = samples.map(
        ({ suffix = '', labels = {}, value }) => `${name}${suffix}${labelSet(labels)} ${value}\n`,
      )
      return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${lines.join('')}`
    })
    .join('')
}

function trafficFamilies({ sites, events }: MetricSources['traffic']): MetricFamily[] {
  const eventCounter = (name: string, help: string, event: CountedEvent, label?: string): MetricFamily => {
    const samples = events
      .filter((one) => one.event === event)
      .map(({ detail, count }) => ({ labels: label === undefined ? {} : { [label]: detail }, value: count }))
    return family('counter', name, help, samples)
  }
  return [
    family(
      'counter',
      'requests_total',
      'Completed requests, by site (empty: no site matched), protocol and status class.',
      sites.flatMap(requestSamples),
    ),
    family(
      'histogram',
      'request_duration_seconds',
      'Time from the request head to the end of the response.',
      sites.flatMap(durationSamples),
    ),
    family(
      'counter',
      'response_bytes_total',
      'Bytes of response bodies.',
      sites.map(({ site, responseBytes }) => ({ labels: { site }, value: responseBytes })),
    ),
    eventCounter(
      'upstream_errors_total',
      'Requests that an upstream failed, by cause.',
      'upstream_error',
      'error',
    ),
    eventCounter('upstream_retries_total', 'Requests sent again on another connection.', 'upstream_retry'),
    eventCounter('rate_limited_total', 'Requests rejected with status 429.', 'rate_limited'),
    eventCounter('auth_failed_total', 'Requests whose password was wrong or not checked.', 'auth_failed'),
    eventCounter(
      'tls_handshakes_total',
      'Handshakes that succeeded; resumed: with a ticket.',
      'tls_handshake',
      'resumed',
    ),
    eventCounter(
      'tls_rejected_total',
      'Connections rejected at their ClientHello or before, by cause.',
      'tls_rejected',
      'reason',
    ),
    eventCounter(
      'tls_failures_total',
      'Handshakes that failed after the ClientHello, by cause.',
      'tls_failed',
      'error',
    ),
    eventCounter(
      'connections_refused_total',
      'Connections refused by a limit on their number, by limit; or because the client is banned.',
      'connection_refused',
      'limit',
    ),
    eventCounter(
      'client_errors_total',
      'Connections that broke the protocol or a limit, by cause.',
      'client_error',
      'reason',
    ),
    eventCounter(
      'http2_floods_total',
      'HTTP/2 connections that were ended for a flood, by what there was too much of.',
      'http2_flood',
      'of',
    ),
  ]
}

function requestSamples({ site, requests }: SiteCounts): Sample[] {
  return PROTOCOLS.flatMap((protocol, row) =>
    STATUS_CLASSES.map((status, column) => ({
      labels: { site, protocol, status },
      value: requests[row * STATUS_CLASSES.length + column] ?? 0,
    })),
  ).filter(({ value }) => value > 0)
}

function durationSamples({ site, durations, durationSumMs }: SiteCounts): Sample[] {
  let count = 0
  const buckets = durations.map((inBucket, index) => {
    count += inBucket
    const boundMs = DURATION_BOUNDS_MS[index]
    const le = boundMs === undefined ? '+Inf' : String(boundMs / 1000)
    return { suffix: '_bucket', labels: { site, le }, value: count }
  })
  return [
    ...buckets,
    { suffix: '_sum', labels: { site }, value: durationSumMs / 1000 },
    { suffix: '_count', labels: { site }, value: count },
  ]
}

function stateFamilies({ status, workers, rateLimits, supervisorRssBytes }: MetricSources): MetricFamily[] {
  const perWorker = (read: (worker: WorkersReport['workers'][number]) => number | null): Sample[] =>
    workers.workers.flatMap((worker) => {
      const value = read(worker)
      return value === null
        ? []
        : [{ labels: { worker: String(worker.worker), pid: String(worker.pid) }, value }]
    })
  const { wanted, ready, draining } = status.workers
  return [
    gauge('info', 'The running version.', [{ labels: { version: status.version }, value: 1 }]),
    gauge('start_time_seconds', 'When the supervisor started.', [{ value: secondsOf(status.started_at) }]),
    gauge('ready', '1 when all workers are ready, every listener has a certificate and none has expired.', [
      { value: Number(status.ready) },
    ]),
    gauge('workers', 'Worker processes, by state.', [
      { labels: { state: 'wanted' }, value: wanted },
      { labels: { state: 'ready' }, value: ready },
      { labels: { state: 'draining' }, value: draining },
    ]),
    gauge('rate_limit_clients', 'Clients whose bucket is not full.', [{ value: rateLimits.size }]),
    gauge('rate_limit_leases', 'Leases of tokens that workers hold.', [{ value: rateLimits.leases }]),
    gauge('generation', 'Counts up with each rolling restart.', [{ value: status.generation }]),
    gauge('sites', 'Sites configured.', [{ value: status.sites }]),
    gauge(
      'last_reload_success',
      '1 when the last reload was applied.',
      reloadSamples(status, (ok) => Number(ok === 'ok')),
    ),
    gauge(
      'last_reload_time_seconds',
      'When the last reload ended.',
      reloadSamples(status, (_, at) => secondsOf(at)),
    ),
    family(
      'counter',
      'worker_unexpected_exits_total',
      'Exits of workers that the supervisor did not cause.',
      [{ value: workers.unexpected_exits }],
    ),
    gauge(
      'connections',
      'Client connections open, as last reported.',
      perWorker(({ connections }) => connections),
    ),
    gauge(
      'event_loop_lag_seconds',
      'Delay of the event loop of a worker, the longest of a hundred turns.',
      perWorker(({ event_loop_lag_ms: lagMs }) => (lagMs === null ? null : lagMs / 1000)),
    ),
    gauge('resident_memory_bytes', 'Resident memory; the supervisor has no worker number.', [
      { labels: { worker: '', pid: String(status.pid) }, value: supervisorRssBytes },
      ...perWorker(({ rss_bytes: rssBytes }) => rssBytes),
    ]),
  ]
}

function reloadSamples(
  { last_reload: last }: StatusReport,
  read: (status: 'ok' | 'error', at: string) => number,
): Sample[] {
  return last === null ? [] : [{ value: read(last.status, last.at) }]
}

function certificateFamilies({ certificates }: CertsReport): MetricFamily[] {
  const counts = new Map(certificates.map((certificate) => [certificate.listener, certificate.counts]))
  return [
    gauge(
      'certificate_not_after_seconds',
      'When a certificate that is served expires.',
      certificates.flatMap(({ listener, names, serial, not_after: notAfter }) =>
        notAfter === null || serial === null
          ? []
          : [{ labels: { listener, name: names[0] ?? '', serial }, value: secondsOf(notAfter) }],
      ),
    ),
    gauge(
      'certificate_next_attempt_seconds',
      'When the next renewal is due.',
      certificates.flatMap(({ listener, names, next_attempt_at: nextAttempt }) =>
        nextAttempt === null
          ? []
          : [{ labels: { listener, name: names[0] ?? '' }, value: secondsOf(nextAttempt) }],
      ),
    ),
    gauge('certificate_alarms', 'Certificates whose renewal itself is dead, overdue or stuck.', [
      { value: certificates.filter(({ alarm }) => alarm !== null).length },
    ]),
    family(
      'counter',
      'certificate_events_total',
      'Events of the certificates of a listener.',
      [...counts].flatMap(([listener, ofListener]) =>
        Object.entries(ofListener).map(([event, value]) => ({
          labels: { listener, event },
          value: Number(value),
        })),
      ),
    ),
  ]
}

function family(
  type: MetricFamily['type'],
  name: string,
  help: string,
  samples: readonly Sample[],
): MetricFamily {
  return { name: `${PREFIX}_${name}`, type, help, samples }
}

function gauge(name: string, help: string, samples: readonly Sample[]): MetricFamily {
  return family('gauge', name, help, samples)
}

function secondsOf(time: string): number {
  return Date.parse(time) / 1000
}

function labelSet(labels: Readonly<Record<string, string>>): string {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${escapeValue(value)}"`)
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`
}

function escapeValue(value: string): string {
  return value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')
}
