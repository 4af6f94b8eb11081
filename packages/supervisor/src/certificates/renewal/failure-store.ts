// The last failed attempt in the cache directory: a start that fails and is repeated at once by systemd must
// not become an order for every repetition, and people must be able to see why.
import { DAY_MS } from '@reverse-proxy/shared/time-units'
import type { FailureRecord } from './failure-record.ts'
import { isTime, parseRecord } from '@reverse-proxy/shared/json'
import type { CertificateStorage, OnQuarantined } from '../storage/storage.ts'
import { readValue } from '../storage/storage.ts'

const KEY = 'last-failure.json'
/** No attempt is put off for longer: a record that says so would stop all renewal. */
const LONGEST_WAIT_MS = 2 * DAY_MS

/** Reads the failure record without changing anything; undefined if missing or damaged. */
export async function peekFailure(storage: CertificateStorage): Promise<FailureRecord | undefined> {
  return parseFailure((await storage.load(KEY).catch(() => undefined)) ?? '')
}

export class FailureStore {
  readonly #storage: CertificateStorage
  readonly #onQuarantined: OnQuarantined

  constructor(storage: CertificateStorage, onQuarantined: OnQuarantined) {
    this.#storage = storage
    this.#onQuarantined = onQuarantined
  }

  /** For people. */
  get path(): string {
    return this.#storage.locate(KEY)
  }

  /** Undefined if the last attempt succeeded. A damaged file is put aside. Throws CACHE. */
  async load(): Promise<FailureRecord | undefined> {
    return await readValue({
      storage: this.#storage,
      key: KEY,
      parse: parseFailure,
      onQuarantined: this.#onQuarantined,
    })
  }

  /** Throws CACHE. */
  async save(record: FailureRecord): Promise<void> {
    await this.#storage.store(KEY, `${JSON.stringify(record, undefined, 2)}\n`)
  }

  /** Throws CACHE. */
  async clear(): Promise<void> {
    await this.#storage.remove(KEY)
  }
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
  if (typeof failures !== 'number' || !isTime(failedAtMs)) return undefined
  const isNear = (timeMs: unknown): timeMs is number =>
    isTime(timeMs) && timeMs - failedAtMs < LONGEST_WAIT_MS
  if (!isNear(nextAttemptMs)) return undefined
  if (typeof directoryUrl !== 'string' || !isNames(names) || !isNames(failedNames)) return undefined
  return {
    failures,
    failedAtMs,
    nextAttemptMs,
    caWaitUntilMs: isNear(caWaitUntilMs) ? caWaitUntilMs : undefined,
    reachedCa: reachedCa === true,
    directoryUrl,
    names,
    failedNames,
    leftOutAtMs: isNear(leftOutAtMs) ? leftOutAtMs : undefined,
    reason: typeof reason === 'string' ? reason : '',
    document: typeof document === 'string' ? document : undefined,
  }
}

function isNames(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((one) => typeof one === 'string')
}
