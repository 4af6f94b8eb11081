// Reports on the certificates of one listener: what is served, when the next attempt is due, what failed, and which
// worker serves which certificate. Pure.
import { isoTime } from '@reverse-proxy/shared/clock'
import { marginAtMs } from '../../certificates/renewal/schedule.ts'
import type { CertificateFacts } from '../../certificates/crypto/inspect.ts'
import type { LastFailure, ListenerStatus } from '../../certificates/status.ts'
import type { WorkerHandle } from '../../workers/handle.ts'
import type { CertificateReport, RenewReport, WorkerSerials } from './reports.ts'

export type ServingWorker = Pick<WorkerHandle, 'slot' | 'pid' | 'stage' | 'served'>

export function reportCertificates(
  status: ListenerStatus,
  workers: readonly ServingWorker[],
  nowMs: number,
): CertificateReport[] {
  const {
    listenerId: listener,
    mode,
    missing,
    nextAttemptMs,
    renewalWindow: window,
    failure,
    unsaved,
    alarm,
    counts,
  } = status
  const rows = status.certificates.length === 0 ? [undefined] : status.certificates
  return rows.map((facts, index) => ({
    listener,
    mode,
    state: stateOf(facts, nowMs),
    names: facts?.names ?? [],
    missing,
    issuer: facts?.issuer ?? null,
    serial: facts?.serial ?? null,
    not_before: facts === undefined ? null : isoTime(facts.notBeforeMs),
    not_after: facts === undefined ? null : isoTime(facts.notAfterMs),
    // 0: at once.
    next_attempt_at:
      nextAttemptMs === undefined ? null : isoTime(nextAttemptMs === 0 ? nowMs : nextAttemptMs),
    renewal_window:
      window === undefined ? null : { start: isoTime(window.startMs), end: isoTime(window.endMs) },
    failure: failure === undefined ? null : reportFailure(failure, nextAttemptMs ?? 0),
    unsaved:
      unsaved === undefined || index > 0
        ? null
        : { reason: unsaved.reason, next_try_at: isoTime(unsaved.nextTryMs) },
    alarm: alarm ?? null,
    counts,
    workers: workers.filter(({ stage }) => stage === 'ready').map((worker) => serialsOf(worker, listener)),
  }))
}

/** A listener whose certificates have just been renewed. */
export function reportRenewed({
  listenerId,
  mode,
  certificates,
  unsaved,
}: ListenerStatus): RenewReport['renewed'][number] {
  return {
    listener: listenerId,
    mode,
    serials: certificates.map(({ serial }) => serial),
    not_after: isoTime(Math.min(...certificates.map(({ notAfterMs }) => notAfterMs))),
    unsaved: unsaved?.reason ?? null,
  }
}

function stateOf(facts: CertificateFacts | undefined, nowMs: number): CertificateReport['state'] {
  if (facts === undefined) return 'pending'
  if (nowMs >= facts.notAfterMs) return 'expired'
  return nowMs >= marginAtMs(facts) ? 'expiring' : 'valid'
}

/** @param dueMs time of the next attempt: later than the end of the backoff if the certificate is not due by then */
function reportFailure(failure: LastFailure, dueMs: number): CertificateReport['failure'] {
  const { failedAtMs, failedNames, reason, document, nextAttemptMs } = failure
  return {
    at: isoTime(failedAtMs),
    names: failedNames,
    reason,
    problem: document === undefined ? null : parseDocument(document),
    next_attempt_at: isoTime(Math.max(nextAttemptMs, dueMs)),
  }
}

/** The document as the CA sent it. A document that was truncated for its length stays text. */
function parseDocument(document: string): unknown {
  try {
    return JSON.parse(document)
  } catch {
    return document
  }
}

function serialsOf({ slot, pid, served }: ServingWorker, listener: string): WorkerSerials {
  const serials = served.find(({ listenerId }) => listenerId === listener)?.serials ?? []
  return { worker: slot, pid, serials }
}
