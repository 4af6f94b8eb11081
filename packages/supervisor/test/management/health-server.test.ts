// The health port in this process, with made-up state: what is said of it in each of its forms.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import http from 'node:http'
import { text } from 'node:stream/consumers'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import { emptySiteCounts } from '@reverse-proxy/shared/traffic-counts'
import { freePort } from '../../../../test/harness/ports.ts'
import type { CertsReport, StatusReport, WorkersReport } from '../../src/management/reports/reports.ts'
import type { HealthSources } from '../../src/management/health/health-server.ts'
import { startHealthServer } from '../../src/management/health/health-server.ts'
import { RecentEvents } from '../../src/management/page/recent-events.ts'
import { TrafficTotals } from '../../src/workers/traffic-totals.ts'

const STATUS: StatusReport = {
  version: '1.2.3',
  pid: 100,
  phase: 'serving',
  ready: true,
  started_at: '2026-01-02T03:04:05Z',
  workers: { wanted: 2, ready: 2, draining: 1 },
  generation: 3,
  roll: null,
  listeners: 1,
  sites: 2,
  certificates: { total: 0, pending: 0, expired: 0, alarms: 0, first_expiry: null },
  last_reload: { at: '2026-01-02T03:04:06Z', status: 'ok', message: null, errors: [] },
}
const WORKERS: WorkersReport = {
  workers: [
    {
      worker: 1,
      pid: 101,
      generation: 3,
      stage: 'ready',
      started_at: '2026-01-02T03:04:05Z',
      connections: 7,
      requests: 8,
      rss_bytes: 9_000,
      event_loop_lag_ms: 5,
    },
    {
      worker: 2,
      pid: 102,
      generation: 3,
      stage: 'booting',
      started_at: '2026-01-02T03:04:05Z',
      connections: null,
      requests: null,
      rss_bytes: null,
      event_loop_lag_ms: null,
    },
  ],
  unexpected_exits: 4,
}
const CERTS: CertsReport = { certificates: [] }
const nothing = (): void => {}

async function start(t: TestContext, changes: Partial<StatusReport> = {}): Promise<number> {
  const traffic = new TrafficTotals()
  const counts = emptySiteCounts('a"b\\c.example')
  counts.requests[8] = 5
  counts.durations[0] = 5
  traffic.add({ sites: [counts], events: [{ event: 'upstream_error', detail: 'closed', count: 2 }] })
  const events = new RecentEvents({ debug: nothing, info: nothing, warn: nothing, error: nothing })
  events.debug('PHASE')
  events.info('READY', { workers: 2 })
  events.warn('LOG_DROPPED')
  events.error('WORKER_EXIT')
  const reports = {
    status: () => ({ ...STATUS, ...changes }),
    workers: () => WORKERS,
    certs: () => CERTS,
    isAlive: () => changes.ready !== false,
  }
  const port = await freePort()
  const sources: HealthSources = { reports, traffic, events, rateLimits: { size: 11, leases: 12 } }
  const server = await startHealthServer(port, sources)
  t.after(async () => await server.close())
  return port
}

async function get(port: number, path: string): Promise<{ status: number | undefined; body: string }> {
  const sent = http.get({ host: '127.0.0.1', port, path, agent: false })
  const [response]: http.IncomingMessage[] = await once(sent, 'response')
  return { status: response?.statusCode, body: response === undefined ? '' : await text(response) }
}

test('metrics: names are escaped, histograms cumulated, what is not known is left out', async (t) => {
  const { body } = await get(await start(t), '/metrics')
  const site = 'site="a\\"b\\\\c.example"'
  assert.ok(body.includes(`reverse_proxy_requests_total{${site},protocol="http/1.1",status="2xx"} 5\n`), body)
  assert.ok(body.includes(`reverse_proxy_request_duration_seconds_bucket{${site},le="+Inf"} 5\n`))
  assert.ok(body.includes(`reverse_proxy_request_duration_seconds_count{${site}} 5\n`))
  assert.ok(body.includes('reverse_proxy_upstream_errors_total{error="closed"} 2\n'))
  assert.ok(body.includes('reverse_proxy_connections{worker="1",pid="101"} 7\n'))
  assert.ok(!body.includes('reverse_proxy_connections{worker="2"'))
  assert.ok(body.includes('reverse_proxy_event_loop_lag_seconds{worker="1",pid="101"} 0.005\n'))
  assert.ok(body.includes('reverse_proxy_worker_unexpected_exits_total 4\n'))
  assert.ok(body.includes('reverse_proxy_rate_limit_clients 11\n'))
  assert.ok(body.includes('reverse_proxy_rate_limit_leases 12\n'))
  assert.ok(body.includes('reverse_proxy_last_reload_success 1\n'))
  assert.ok(body.includes('reverse_proxy_workers{state="draining"} 1\n'))
})

test('health and readiness follow the reports', async (t) => {
  const well = await start(t)
  assert.deepEqual(await get(well, '/health'), { status: 200, body: '' })
  assert.equal((await get(well, '/health/ready')).status, 200)
  const ill = await start(t, { ready: false })
  assert.equal((await get(ill, '/health')).status, 503)
  assert.equal((await get(ill, '/health/ready')).status, 503)
})

test('the status page brings everything along, and its feed a snapshot at once', async (t) => {
  const port = await start(t)
  const page = await get(port, '/')
  const parts = [...page.body.matchAll(/(?:src|href)="([^"]*)"/gu)].map(([, path = '']) => path)
  assert.deepEqual(parts, ['/status-page.css', '/status-page.js'])
  for (const part of parts) assert.equal((await get(port, part)).status, 200)
  assert.match((await get(port, '/status-page.js')).body, /EventSource/u)
  const sent = http.get({ host: '127.0.0.1', port, path: '/events', agent: false })
  sent.on('error', nothing)
  const [response] = await once(sent, 'response')
  const [chunk]: Buffer[] = await once(response, 'data')
  const snapshot = JSON.parse(String(chunk).slice('data: '.length))
  assert.equal(snapshot.total.requests, 5)
  assert.deepEqual(
    snapshot.events.map(({ event, level }: { event: string; level: string }) => `${level} ${event}`),
    ['info READY', 'warn LOG_DROPPED', 'error WORKER_EXIT'],
  )
  sent.destroy()
})
