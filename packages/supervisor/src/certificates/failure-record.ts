// The last failed attempt, kept in the cache directory: a start that fails and is repeated at once by
// systemd must not become an order for every repetition, and people must be able to see why.
import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { messageOf } from '@reverse-proxy/shared/error-text'
import { parseRecord } from './json.ts'
import type { Validity } from './renewal.ts'
import { obeyedWaitMs, retryAtMs } from './renewal.ts'
import { AcmeError } from './acme-problem.ts'
import { readCacheFile } from './cache-file.ts'
import { cacheError, replaceFile } from './durable.ts'
import type { OnQuarantined } from './quarantine.ts'

export interface FailureRecord {
  /** In a row. */
  readonly failures: number
  readonly failedAtMs: number
  readonly nextAttemptMs: number
  /** The CA's own Retry-After, with the ceiling: before this not even people may demand an attempt. */
  readonly caWaitUntilMs: number | undefined
  /** False: the CA never heard of the attempt, which therefore costs no waiting at the next start. */
  readonly reachedCa: boolean
  readonly directoryUrl: string
  /** What was asked for. */
  readonly names: readonly string[]
  readonly failedNames: readonly string[]
  /** When the names without the failed ones were last ordered. */
  readonly leftOutAtMs: number | undefined
  readonly reason: string
  /** The CA's problem document, JSON text. */
  readonly document: string | undefined
}

/** What an order was for. */
export interface OrderSubject {
  readonly directoryUrl: string
  readonly names: readonly string[]
}

export interface FailureContext {
  readonly order: OrderSubject
  /** Of its names, those that it was placed without, since they have failed before. */
  readonly held: readonly string[]
  readonly previous: FailureRecord | undefined
  /** Of the certificate in service. */
  readonly validity: Validity | undefined
  /** The CA has been sent what counts there, whatever ended the attempt afterwards. */
  readonly isOrdered: boolean
  readonly nowMs: number
  /** 0 to 1. */
  readonly jitter: number
}

/** The record of an attempt that has just ended in `error`, with the time of the next. */
export function nextFailure(error: unknown, context: FailureContext): FailureRecord {
  const { order, held, previous, validity, isOrdered, nowMs, jitter } = context
  const acme = error instanceof AcmeError ? error : undefined
  const failures = (previous?.failures ?? 0) + 1
  return {
    failures,
    failedAtMs: nowMs,
    nextAttemptMs: retryAtMs({
      failures,
      failedAtMs: nowMs,
      retryAfterMs: acme?.retryAfterMs,
      isRejected: (acme?.failedNames.length ?? 0) > 0,
      validity,
      jitter,
    }),
    caWaitUntilMs: acme?.retryAfterMs === undefined ? undefined : nowMs + obeyedWaitMs(acme.retryAfterMs),
    reachedCa: acme?.reachedCa ?? isOrdered,
    ...order,
    failedNames: [...new Set([...held, ...(acme?.failedNames ?? [])])],
    leftOutAtMs: previous?.leftOutAtMs,
    reason: messageOf(error),
    document: acme?.document,
  }
}

/**
 * The record under a clock that has been set back: what has failed in the future is as if it had just failed,
 * so that a wrong clock, once it is right again, costs one waiting time and no more.
 */
export function failureAsOf(record: FailureRecord, nowMs: number): FailureRecord {
  const earlyMs = record.failedAtMs - nowMs
  if (earlyMs <= 0) return record
  const { nextAttemptMs, caWaitUntilMs } = record
  return {
    ...record,
    failedAtMs: nowMs,
    nextAttemptMs: nextAttemptMs - earlyMs,
    caWaitUntilMs: caWaitUntilMs === undefined ? undefined : caWaitUntilMs - earlyMs,
  }
}
const FILE_NAME = 'last-failure.json'
/** No attempt is put off for longer: a record that says so would stop all renewal. */
const LONGEST_WAIT_MS = 2 * 24 * 60 * 60 * 1000
/** Of ECMAScript. */
const LAST_DATE_MS = 8.64e15

/** What is recorded in `directory`, for whoever only wants a look; undefined if that is nothing, or damaged. */
export async function peekFailure(directory: string): Promise<FailureRecord | undefined> {
  const text = await readFile(join(directory, FILE_NAME), 'utf8').catch(() => '')
  return parseFailure(text)
}

export class FailureStore {
  readonly path: string
  readonly #directory: string
  readonly #onQuarantined: OnQuarantined

  constructor(cacheDirectory: string, onQuarantined: OnQuarantined) {
    this.#directory = cacheDirectory
    this.#onQuarantined = onQuarantined
    this.path = join(cacheDirectory, FILE_NAME)
  }

  /** Undefined if the last attempt succeeded. A damaged file is put aside. Throws CACHE. */
  async load(): Promise<FailureRecord | undefined> {
    return await readCacheFile({
      directory: this.#directory,
      name: FILE_NAME,
      parse: parseFailure,
      onQuarantined: this.#onQuarantined,
    })
  }

  async save(record: FailureRecord): Promise<void> {
    await replaceFile(this.path, `${JSON.stringify(record, undefined, 2)}\n`).catch((error: unknown) => {
      throw cacheError(this.#directory, error)
    })
  }

  async clear(): Promise<void> {
    await rm(this.path, { force: true }).catch((error: unknown) => {
      throw cacheError(this.#directory, error)
    })
  }
}

/** Whether `record` is about this very order. */
export function concerns(record: FailureRecord, order: OrderSubject): boolean {
  const sameNames =
    record.names.length === order.names.length && record.names.every((name) => order.names.includes(name))
  return sameNames && record.directoryUrl === order.directoryUrl
}

function parseFailure(text: string): FailureRecord | undefined {
  const record = parseRecord(text)
  if (record === undefined) return undefined
  const {
    failures,
    failedAtMs,
    nextAttemptMs,
    caWaitUntilMs,
    reachedCa,
    directoryUrl,
    names,
    failedNames,
    leftOutAtMs,
    reason,
    document,
  } = record
  if (typeof failures !== 'number' || typeof failedAtMs !== 'number' || typeof nextAttemptMs !== 'number') {
    return undefined
  }
  if (!(Math.abs(failedAtMs) < LAST_DATE_MS && nextAttemptMs - failedAtMs < LONGEST_WAIT_MS)) return undefined
  if (typeof directoryUrl !== 'string' || !isNames(names) || !isNames(failedNames)) return undefined
  return {
    failures,
    failedAtMs,
    nextAttemptMs,
    caWaitUntilMs: typeof caWaitUntilMs === 'number' ? caWaitUntilMs : undefined,
    reachedCa: reachedCa === true,
    directoryUrl,
    names,
    failedNames,
    leftOutAtMs: typeof leftOutAtMs === 'number' ? leftOutAtMs : undefined,
    reason: typeof reason === 'string' ? reason : '',
    document: typeof document === 'string' ? document : undefined,
  }
}

function isNames(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((one) => typeof one === 'string')
}
