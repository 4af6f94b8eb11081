// The content of /metrics: the counts of the workers and the state that admin commands report. Pure. Every label comes
// from the configuration or from a fixed list, so no client can create a series.
import type { CountedEvent, SiteCounts } from '@reverse-proxy/shared/traffic-counts'
import { DURATION_BOUNDS_MS, PROTOCOLS, STATUS_CLASSES } from '@reverse-proxy/shared/traffic-counts'
import type { CertsReport, StatusReport, WorkersReport } from '../reports/reports.ts'
import type { MetricFamily, Sample } from './exposition.ts'
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

const PREFIX = 'reverse_proxy'

export function metricFamilies(sources: MetricSources): MetricFamily[] {
  return [
    ...trafficFamilies(sources.traffic),
    ...stateFamilies(sources),
    ...certificateFamilies(sources.certs),
  ]
}

function trafficFamilies({ sites, events }: MetricSources['traffic']): MetricFamily[] {
  const eventCounter = (name: string, help: string, event: CountedEvent, label?: string): MetricFamily => ({
    name: `${PREFIX}_${name}`,
    type: 'counter',
    help,
    samples: events
      .filter((one) => one.event === event)
      .map(({ detail, count }) => ({ labels: label === undefined ? {} : { [label]: detail }, value: count })),
  })
  return [
    {
      name: `${PREFIX}_requests_total`,
      type: 'counter',
      help: 'Completed requests, by site (empty: no site matched), protocol and status class.',
      samples: sites.flatMap(requestSamples),
    },
    {
      name: `${PREFIX}_request_duration_seconds`,
      type: 'histogram',
      help: 'Time from the request head to the end of the response.',
      samples: sites.flatMap(durationSamples),
    },
    {
      name: `${PREFIX}_response_bytes_total`,
      type: 'counter',
      help: 'Bytes of response bodies.',
      samples: sites.map(({ site, responseBytes }) => ({ labels: { site }, value: responseBytes })),
    },
    eventCounter(
      'upstream_errors_total',
      'Requests that an upstream failed, by cause.',
      'upstream_error',
      'error',
    ),
    eventCounter('upstream_retries_total', 'Requests sent again on another connection.', 'upstream_retry'),
    eventCounter('rate_limited_total', 'Requests rejected with status 429.', 'rate_limited'),
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
      'Connections refused by a limit on their number, by limit.',
      'connection_refused',
      'limit',
    ),
    eventCounter(
      'client_errors_total',
      'Connections that broke the protocol or a limit, by cause.',
      'client_error',
      'reason',
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
  const gauge = (name: string, help: string, samples: readonly Sample[]): MetricFamily => ({
    name: `${PREFIX}_${name}`,
    type: 'gauge',
    help,
    samples,
  })
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
    {
      name: `${PREFIX}_worker_unexpected_exits_total`,
      type: 'counter',
      help: 'Exits of workers that the supervisor did not cause.',
      samples: [{ value: workers.unexpected_exits }],
    },
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
  const listeners = new Map(certificates.map(({ listener, counts }) => [listener, counts]))
  return [
    {
      name: `${PREFIX}_certificate_not_after_seconds`,
      type: 'gauge',
      help: 'When a certificate that is served expires.',
      samples: certificates.flatMap(({ listener, names, serial, not_after: notAfter }) =>
        notAfter === null || serial === null
          ? []
          : [{ labels: { listener, name: names[0] ?? '', serial }, value: secondsOf(notAfter) }],
      ),
    },
    {
      name: `${PREFIX}_certificate_next_attempt_seconds`,
      type: 'gauge',
      help: 'When the next renewal is due.',
      samples: certificates.flatMap(({ listener, names, next_attempt_at: nextAttempt }) =>
        nextAttempt === null
          ? []
          : [{ labels: { listener, name: names[0] ?? '' }, value: secondsOf(nextAttempt) }],
      ),
    },
    {
      name: `${PREFIX}_certificate_alarms`,
      type: 'gauge',
      help: 'Certificates whose renewal itself is dead, overdue or stuck.',
      samples: [{ value: certificates.filter(({ alarm }) => alarm !== null).length }],
    },
    {
      name: `${PREFIX}_certificate_events_total`,
      type: 'counter',
      help: 'Events of the certificates of a listener.',
      samples: [...listeners].flatMap(([listener, counts]) =>
        Object.entries(counts).map(([event, value]) => ({
          labels: { listener, event },
          value: Number(value),
        })),
      ),
    },
  ]
}

function secondsOf(time: string): number {
  return Date.parse(time) / 1000
}
