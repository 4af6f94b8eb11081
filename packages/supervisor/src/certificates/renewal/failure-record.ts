// The last failed attempt: what is known of it, and when the next is due. Pure; kept on disk by failure-store.ts.
import { messageOf } from '@reverse-proxy/shared/error-text'
import type { LastFailure } from '../status.ts'
import { AcmeError } from '../acme-client/transport/problem.ts'
import type { Validity } from '../crypto/inspect.ts'
import { obeyedWaitMs, retryAtMs } from './schedule.ts'

export interface FailureRecord extends LastFailure {
  /** In a row. */
  readonly failures: number
  /** The CA's own Retry-After, with the ceiling: before this not even people may demand an attempt. */
  readonly caWaitUntilMs: number | undefined
  /** False: the CA never heard of the attempt, which therefore costs no waiting at the next start. */
  readonly reachedCa: boolean
  readonly directoryUrl: string
  /** The names of the order. */
  readonly names: readonly string[]
  /** When the names without the failed ones were last ordered. */
  readonly leftOutAtMs: number | undefined
}

/** The subject of an order. */
export interface OrderSubject {
  readonly directoryUrl: string
  readonly names: readonly string[]
}

export interface FailureContext {
  readonly order: OrderSubject
  /** Names that the order left out because they had failed before. */
  readonly excluded: readonly string[]
  readonly previous: FailureRecord | undefined
  /** Validity of the certificate in service. */
  readonly validity: Validity | undefined
  /** The CA has been sent what counts there, whatever ended the attempt afterwards. */
  readonly isOrdered: boolean
  /** By the clock that counts waiting times, which the times of the record are of. */
  readonly nowMs: number
  /** By the clock that `validity` is judged by. */
  readonly certificateTimeMs: number
  /** 0 to 1. */
  readonly jitter: number
}

/** The record of an attempt that has just ended in `error`, with the time of the next. */
export function nextFailure(error: unknown, context: FailureContext): FailureRecord {
  const { order, excluded, previous, validity, isOrdered, nowMs, certificateTimeMs, jitter } = context
  const acme = error instanceof AcmeError ? error : undefined
  const failures = (previous?.failures ?? 0) + 1
  const retryMs = retryAtMs({
    failures,
    failedAtMs: certificateTimeMs,
    retryAfterMs: acme?.retryAfterMs,
    isRejected: (acme?.failedNames.length ?? 0) > 0,
    isIssued: acme?.isIssued ?? false,
    validity,
    jitter,
  })
  return {
    failures,
    failedAtMs: nowMs,
    nextAttemptMs: nowMs + retryMs - certificateTimeMs,
    caWaitUntilMs: acme?.retryAfterMs === undefined ? undefined : nowMs + obeyedWaitMs(acme.retryAfterMs),
    reachedCa: acme?.reachedCa ?? isOrdered,
    ...order,
    failedNames: [...new Set([...excluded, ...(acme?.failedNames ?? [])])],
    leftOutAtMs: previous?.leftOutAtMs,
    reason: messageOf(error),
    document: acme?.document,
  }
}

/** The same failure as another clock has it, by which all of it is so much later. */
export function shifted(record: FailureRecord, byMs: number): FailureRecord {
  if (byMs === 0) return record
  const { failedAtMs, nextAttemptMs, caWaitUntilMs, leftOutAtMs } = record
  return {
    ...record,
    failedAtMs: failedAtMs + byMs,
    nextAttemptMs: nextAttemptMs + byMs,
    caWaitUntilMs: caWaitUntilMs === undefined ? undefined : caWaitUntilMs + byMs,
    leftOutAtMs: leftOutAtMs === undefined ? undefined : leftOutAtMs + byMs,
  }
}

/**
 * The record after the clock was set back: a failure in the future counts as a failure just now,
 * so that a wrong clock, once it is right again, costs one waiting time and no more.
 */
export function failureAsOf(record: FailureRecord, nowMs: number): FailureRecord {
  return record.failedAtMs > nowMs ? shifted(record, nowMs - record.failedAtMs) : record
}

/** Whether `record` is about this very order. */
export function concerns(record: FailureRecord, order: OrderSubject): boolean {
  const sameNames =
    record.names.length === order.names.length && record.names.every((name) => order.names.includes(name))
  return sameNames && record.directoryUrl === order.directoryUrl
}

/** The part of `record` that applies to `order`; undefined if none does. */
export function carriedOver(
  record: FailureRecord,
  order: OrderSubject,
  nowMs: number,
): FailureRecord | undefined {
  if (record.directoryUrl !== order.directoryUrl) return undefined
  if (concerns(record, order)) return record
  const failedNames = record.failedNames.filter((name) => order.names.includes(name))
  if (failedNames.length > 0) return { ...record, failedNames }
  const { caWaitUntilMs, nextAttemptMs } = record
  if (caWaitUntilMs === undefined || caWaitUntilMs <= nowMs) return undefined
  return { ...record, failedNames, nextAttemptMs: Math.min(nextAttemptMs, caWaitUntilMs) }
}

/** The names of `order` that have failed in another one, and are not due yet: it is placed without them. */
export function excludedNames(
  failure: FailureRecord | undefined,
  order: OrderSubject,
  nowMs: number,
): readonly string[] {
  if (failure === undefined || concerns(failure, order)) return []
  const { nextAttemptMs, caWaitUntilMs = 0, failedNames } = failure
  if (nowMs >= nextAttemptMs || nowMs < caWaitUntilMs) return []
  return failedNames.length < order.names.length ? failedNames : []
}
