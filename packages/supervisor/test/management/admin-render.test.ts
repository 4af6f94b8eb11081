import assert from 'node:assert/strict'
import { test } from 'node:test'
import { configIssue } from '@reverse-proxy/shared/config/issues'
import { reportIssue } from '../../src/config/report.ts'
import { renderReport } from '../../src/management/admin/render.ts'
import { STATUS } from '../support/admin.ts'

const NOW = Date.parse('2026-01-02T03:04:05Z')

const COUNTS = { ordered: 0, issued: 0, failed: 0, expiring: 0, expired: 0 }

test('status, as people read it', () => {
  assert.equal(
    renderReport(
      'status',
      { ...STATUS, last_reload: { at: '2026-01-02T03:03:05Z', status: 'ok', message: null, errors: [] } },
      NOW,
    ),
    `state         ready
version       1.2.3
pid           4321
up for        1d 3h
workers       2 of 2 ready
generation    1
serving       2 sites on 1 listener
certificates  1, the first expires in 57d 20h
last reload   ok, 1m 0s ago
`,
  )

  const busy = { ...STATUS, workers: { wanted: 2, ready: 3, draining: 1 }, roll: 'replacing' } as const
  assert.match(renderReport('status', busy, NOW), /^workers +3 of 2 ready, 1 draining; being replaced$/mu)
})

test('status after a reload that failed: every error with its place and its hint', () => {
  const issue = {
    ...configIssue('TOML_SYNTAX', [], 'invalid value', 'text needs quotes'),
    file: '/etc/reverse-proxy/config.toml',
    line: 3,
    column: 11,
  }
  const failed = {
    at: '2026-01-02T03:03:05Z',
    status: 'error',
    message: 'it is invalid',
    errors: [reportIssue(issue)],
  } as const
  const text = renderReport('status', { ...STATUS, last_reload: failed }, NOW)
  assert.ok(
    text.endsWith(`last reload   error, 1m 0s ago: it is invalid
/etc/reverse-proxy/config.toml:3:11 error TOML_SYNTAX: invalid value
    hint: text needs quotes
1 error
`),
    text,
  )
})

test('workers, as people read them', () => {
  const worker = { pid: 100, generation: 2, stage: 'ready', started_at: '2026-01-02T03:04:03Z' } as const
  const report = {
    unexpected_exits: 1,
    workers: [
      {
        ...worker,
        worker: 1,
        connections: 12,
        requests: 34_567,
        rss_bytes: 90 * 1024 ** 2,
        event_loop_lag_ms: 1,
      },
      {
        ...worker,
        worker: 12,
        stage: 'booting',
        connections: null,
        requests: null,
        rss_bytes: null,
        event_loop_lag_ms: null,
      },
    ],
  } as const
  assert.equal(
    renderReport('workers', report, NOW),
    `WORKER  PID  GENERATION  STATE    UP  CONNECTIONS  REQUESTS  MEMORY
     1  100           2  ready    2s           12     34567  90 MiB
    12  100           2  booting  2s            -         -       -

1 unexpected exit since the start; see WORKER_EXIT in the log
`,
  )
})

test('certs: what is served, by whom, what is missing, and why', () => {
  const serving = { pid: 100, serials: ['0A'] }
  const report = {
    certificates: [
      {
        listener: '203.0.113.1:443',
        mode: 'acme',
        state: 'valid',
        names: ['a.example', 'b.example'],
        missing: ['c.example'],
        issuer: 'A CA',
        serial: '0A',
        not_before: '2025-12-01T03:04:05Z',
        not_after: '2026-03-01T03:04:05Z',
        next_attempt_at: '2026-01-01T00:00:00Z',
        renewal_window: null,
        failure: {
          at: '2026-01-02T02:04:05Z',
          names: ['c.example'],
          reason: 'DNS problem: NXDOMAIN\u001b[31m',
          problem: null,
          next_attempt_at: '2026-01-02T03:14:05Z',
        },
        unsaved: { reason: 'ENOSPC: no space left on device', next_try_at: '2026-01-02T03:34:05Z' },
        alarm: 'overdue',
        counts: COUNTS,
        workers: [
          { ...serving, worker: 1 },
          { ...serving, worker: 2, serials: ['09'] },
        ],
      },
      {
        listener: '127.0.0.1:8443',
        mode: 'manual',
        state: 'expired',
        names: ['old.example'],
        missing: [],
        issuer: 'Another',
        serial: '0B',
        not_before: '2025-12-01T03:04:05Z',
        not_after: '2026-01-01T00:00:00Z',
        next_attempt_at: null,
        renewal_window: null,
        failure: null,
        unsaved: null,
        alarm: null,
        counts: COUNTS,
        workers: [],
      },
    ],
  } as const
  assert.equal(
    renderReport('certs', report, NOW),
    `LISTENER         MODE    STATE      LEFT  RENEWAL IN  ISSUER   NAMES
203.0.113.1:443  acme    valid    58d 0h         now  A CA     a.example b.example
127.0.0.1:8443   manual  EXPIRED      0s           -  Another  old.example

203.0.113.1:443: NOT BEING RENEWED: overdue; restart the proxy, and report this
203.0.113.1:443: worker 2 does not serve 0A
203.0.113.1:443: issued but not saved: ENOSPC: no space left on device; tried again in 30m 0s
203.0.113.1:443: not in the certificate: c.example
203.0.113.1:443: failed 1h 0m ago: c.example: DNS problem: NXDOMAIN?[31m; next attempt in 10m 0s
`,
  )
})

test('reload, restart and the small ones', () => {
  const report = {
    sites: 1,
    workers: 'replaced',
    certificates: 'pending',
    warnings: ['user needs a full restart'],
  } as const
  assert.equal(
    renderReport('reload', report, NOW),
    'configuration applied: 1 site, workers replaced, certificates are being ordered\nwarning: user needs a full restart\n',
  )
  assert.match(
    renderReport('restart', { ...report, warnings: [] }, NOW),
    /^restarted: 1 site, workers replaced/,
  )
  const renewed = {
    listener: '[::1]:443',
    mode: 'acme',
    serials: ['0A'],
    not_after: '2026-03-01T03:04:05Z',
    unsaved: null,
  } as const
  assert.equal(
    renderReport('renew', { renewed: [renewed, { ...renewed, unsaved: 'the disk is full' }] }, NOW),
    `[::1]:443: renewed: serial 0A, expires in 58d 0h
[::1]:443: renewed: serial 0A, expires in 58d 0h; issued but not saved: the disk is full
`,
  )
  assert.match(renderReport('reopen-logs', {}, NOW), /reopened/)
})
