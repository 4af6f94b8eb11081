// Applies a failure to an order of other names: a reload must not shorten a wait that the CA asked for, nor the wait
// of a name that could not be validated. Pure.
import type { FailureRecord, OrderSubject } from './failure-record.ts'
import { concerns } from './failure-record.ts'

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
