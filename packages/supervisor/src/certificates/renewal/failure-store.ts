// The last failed attempt in the cache directory: a start that fails and is repeated at once by systemd must
// not become an order for every repetition, and people must be able to see why.
import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { DAY_MS } from '@reverse-proxy/shared/time-units'
import { readCacheFile } from '../storage/cache-file.ts'
import { cacheError, replaceFile } from '../storage/atomic-file.ts'
import type { FailureRecord } from './failure-record.ts'
import { isTime, parseRecord } from '@reverse-proxy/shared/json'
import type { OnQuarantined } from '../storage/quarantine.ts'

const FILE_NAME = 'last-failure.json'
/** No attempt is put off for longer: a record that says so would stop all renewal. */
const LONGEST_WAIT_MS = 2 * DAY_MS

/** Reads the failure record of `directory` without changing anything; undefined if missing or damaged. */
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

  /** Throws CACHE. */
  async save(record: FailureRecord): Promise<void> {
    await replaceFile(this.path, `${JSON.stringify(record, undefined, 2)}\n`).catch((error: unknown) => {
      throw cacheError(this.#directory, error)
    })
  }

  /** Throws CACHE. */
  async clear(): Promise<void> {
    await rm(this.path, { force: true }).catch((error: unknown) => {
      throw cacheError(this.#directory, error)
    })
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
