// `certs`, health and the counters: what is made of the state of the certificates.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { reportCertificates } from '../../src/management/reports/certificate-report.ts'
import { assertDue } from '../../src/certificates/renewal/order-trigger.ts'
import { CertificateCounts } from '../../src/certificates/status.ts'
import { ExpiryWatch } from '../../src/certificates/renewal/expiry-log.ts'
import type { FailureRecord } from '../../src/certificates/renewal/failure-record.ts'
import { failureAsOf, nextFailure } from '../../src/certificates/renewal/failure-record.ts'
import { AcmeError } from '../../src/certificates/acme-client/transport/problem.ts'
import type { ListenerStatus } from '../../src/certificates/status.ts'

const NOW_MS = Date.parse('2026-01-01T00:00:00Z')
const DAY_MS = 86_400_000
const NO_EVENTS = { ordered: 0, issued: 0, failed: 0, expiring: 0, expired: 0 }

const FACTS = {
  names: ['a.test'],
  serial: '0A',
  issuer: 'A CA',
  notBeforeMs: NOW_MS - 30 * DAY_MS,
  notAfterMs: NOW_MS + 60 * DAY_MS,
}

const STATUS: ListenerStatus = {
  listenerId: 'l',
  mode: 'acme',
  certificates: [FACTS],
  missing: [],
  nextAttemptMs: NOW_MS + 30 * DAY_MS,
  renewalWindow: undefined,
  failure: undefined,
  unsaved: undefined,
  alarm: undefined,
  counts: NO_EVENTS,
}

const ORDER = { directoryUrl: 'https://ca.test/dir', names: ['a.test', 'bad.test'] }

function failureOf(error: unknown): FailureRecord {
  return nextFailure(error, {
    order: ORDER,
    previous: undefined,
    validity: FACTS,
    isOrdered: false,
    excluded: [],
    nowMs: NOW_MS,
    certificateTimeMs: NOW_MS,
    jitter: 0,
  })
}

test('each certificate is one row, and a listener without any has one that says so', () => {
  const worker = { slot: 1, pid: 9, stage: 'ready', served: [{ listenerId: 'l', serials: ['0A'] }] } as const
  const draining = { ...worker, pid: 8, stage: 'draining', served: [] } as const
  const [row] = reportCertificates(
    { ...STATUS, renewalWindow: { startMs: NOW_MS, endMs: NOW_MS + DAY_MS } },
    [worker, draining],
    NOW_MS,
  )
  assert.deepEqual(row, {
    listener: 'l',
    mode: 'acme',
    state: 'valid',
    names: ['a.test'],
    missing: [],
    issuer: 'A CA',
    serial: '0A',
    not_before: '2025-12-02T00:00:00.000Z',
    not_after: '2026-03-02T00:00:00.000Z',
    next_attempt_at: '2026-01-31T00:00:00.000Z',
    renewal_window: { start: '2026-01-01T00:00:00.000Z', end: '2026-01-02T00:00:00.000Z' },
    failure: null,
    unsaved: null,
    alarm: null,
    counts: NO_EVENTS,
    workers: [{ worker: 1, pid: 9, serials: ['0A'] }],
  })
  const unsaved = { reason: 'the disk is full', nextTryMs: NOW_MS + DAY_MS }
  assert.deepEqual(
    reportCertificates({ ...STATUS, certificates: [FACTS, FACTS], unsaved }, [], NOW_MS).map(
      (one) => one.unsaved,
    ),
    [{ reason: 'the disk is full', next_try_at: '2026-01-02T00:00:00.000Z' }, null],
    'the older one beside it is on disk',
  )
  const pending = reportCertificates(
    { ...STATUS, certificates: [], missing: ['a.test'], nextAttemptMs: 0 },
    [],
    NOW_MS,
  )
  assert.deepEqual(
    pending.map(({ state, names, missing, serial, next_attempt_at: next }) => [
      state,
      names,
      missing,
      serial,
      next,
    ]),
    [['pending', [], ['a.test'], null, '2026-01-01T00:00:00.000Z']],
  )
})

function stateAt(nowMs: number): string | undefined {
  return reportCertificates(STATUS, [], nowMs)[0]?.state
}

test('valid until a sixth of the lifetime is left, then expiring, then expired', () => {
  assert.equal(stateAt(FACTS.notAfterMs - 15 * DAY_MS - 1), 'valid')
  assert.equal(stateAt(FACTS.notAfterMs - 15 * DAY_MS), 'expiring')
  assert.equal(stateAt(FACTS.notAfterMs - 1), 'expiring')
  assert.equal(stateAt(FACTS.notAfterMs), 'expired')
})

test('a failure is shown with the names that failed and what the CA said, also where it said too much', () => {
  const document = {
    type: 'urn:ietf:params:acme:error:dns',
    detail: 'no such host',
    identifier: { type: 'dns', value: 'bad.test' },
  }
  const failure = failureOf(new AcmeError('proof failed', { document, reachedCa: true }))
  const [row] = reportCertificates({ ...STATUS, failure }, [], NOW_MS)
  assert.deepEqual(row?.failure, {
    at: '2026-01-01T00:00:00.000Z',
    names: ['bad.test'],
    reason: 'proof failed',
    problem: document,
    // Not after the failure's pause of a minute: the certificate is good until then.
    next_attempt_at: '2026-01-31T00:00:00.000Z',
  })
  const [cut] = reportCertificates({ ...STATUS, failure: { ...failure, document: '{"type":' } }, [], NOW_MS)
  assert.equal(cut?.failure?.problem, '{"type":')
})

test('somebody may demand an attempt at any time, but not against the Retry-After of the CA', () => {
  const attempt = (failure: FailureRecord | undefined, nowMs = NOW_MS) => ({ failure, nowMs, path: '/x' })
  const plain = failureOf(new AcmeError('no', { reachedCa: true }))
  assertDue('demand', attempt(undefined))
  assertDue('demand', attempt(plain))
  assert.throws(() => assertDue('renewal', attempt(plain)), { code: 'ACME', message: /next is due at/u })
  assert.throws(() => assertDue('start', attempt(plain)), { code: 'ACME', message: /next is due at/u })
  assertDue('start', attempt({ ...plain, reachedCa: false }))

  const limited = failureOf(
    new AcmeError('rateLimited: too many', { reachedCa: true, retryAfterMs: 3_600_000 }),
  )
  assert.throws(() => assertDue('demand', attempt(limited)), {
    code: 'ACME',
    message: /wait until 2026-01-01T01:00:00\.000Z.*too many/u,
    hint: /by themselves/u,
  })
  assertDue('demand', attempt(limited, NOW_MS + 3_600_000))
  // Absurd: no more than a day of it is obeyed. Under a clock set back it moves with the rest.
  const absurd = failureOf(new AcmeError('no', { reachedCa: true, retryAfterMs: 1e12 }))
  assertDue('demand', attempt(absurd, NOW_MS + DAY_MS))
  assert.equal(failureAsOf(absurd, NOW_MS - DAY_MS).caWaitUntilMs, NOW_MS)
})

test('a certificate that is about to expire, and one that has, is counted once, whatever is logged', () => {
  const counts = new CertificateCounts()
  const silent = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }
  let nowMs = 0
  const clock = { nowMs: () => nowMs, timerMs: () => nowMs, sleep: async () => {} }
  const watch = new ExpiryWatch('l', { log: silent, clock, counts })
  const facts = { names: ['a.test'], serial: '1', issuer: '', notBeforeMs: 0, notAfterMs: 10 * DAY_MS }
  for (nowMs of [0, 9.9 * DAY_MS, 9.95 * DAY_MS, 11 * DAY_MS, 12 * DAY_MS]) watch.look(facts)
  assert.deepEqual(counts.countsOf('l'), { ...NO_EVENTS, expiring: 1, expired: 1 })
  assert.deepEqual(counts.countsOf('other'), NO_EVENTS)
})
