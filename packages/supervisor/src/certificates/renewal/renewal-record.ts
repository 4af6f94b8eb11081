// The agreement with the CA about the next renewal, kept in the cache directory, so that a restart neither draws
// another moment of the window nor asks the CA too early. Losing it costs one request.
import type { RenewalWindow } from '../certificate.ts'
import { isRecord, isTime, parseRecord } from '@reverse-proxy/shared/json'
import type { CertificateStorage, OnQuarantined } from '../storage/storage.ts'
import { readValue } from '../storage/storage.ts'

export interface RenewalRecord {
  /** Serial number of the certificate that the record is about, `issuedMs` excepted. */
  readonly serial: string
  /** The last window of the CA; undefined if it has not sent a usable one. */
  readonly window: RenewalWindow | undefined
  /** Drawn from the window; undefined if all of that is later than the lifetime rule. */
  readonly chosenMs: number | undefined
  readonly explanationUrl: string | undefined
  /** When to ask again. */
  readonly nextLookMs: number
  /** Questions in a row that got no usable answer. */
  readonly failures: number
  /** When certificates were issued here, by the machine's clock, oldest first; the last few. */
  readonly issuedMs: readonly number[]
}

const KEY = 'renewal.json'

export class RenewalStore {
  readonly #storage: CertificateStorage
  readonly #onQuarantined: OnQuarantined

  constructor(storage: CertificateStorage, onQuarantined: OnQuarantined) {
    this.#storage = storage
    this.#onQuarantined = onQuarantined
  }

  /** Undefined if there is none. A damaged file is put aside. Throws CACHE. */
  async load(): Promise<RenewalRecord | undefined> {
    return await readValue({
      storage: this.#storage,
      key: KEY,
      parse: parseRenewal,
      onQuarantined: this.#onQuarantined,
    })
  }

  async save(record: RenewalRecord): Promise<void> {
    await this.#storage.store(KEY, `${JSON.stringify(record, undefined, 2)}\n`)
  }
}

function parseRenewal(text: string): RenewalRecord | undefined {
  const record = parseRecord(text)
  if (record === undefined) return undefined
  const { serial, window, chosenMs, explanationUrl, nextLookMs, failures, issuedMs } = record
  if (typeof serial !== 'string' || !isTime(nextLookMs) || !isTime(failures)) return undefined
  const isWindow = isRecord(window) && isTime(window['startMs']) && isTime(window['endMs'])
  return {
    serial,
    window: isWindow ? { startMs: Number(window['startMs']), endMs: Number(window['endMs']) } : undefined,
    chosenMs: isWindow && isTime(chosenMs) ? chosenMs : undefined,
    explanationUrl: typeof explanationUrl === 'string' ? explanationUrl : undefined,
    nextLookMs,
    failures,
    issuedMs: Array.isArray(issuedMs) ? issuedMs.filter(isTime) : [],
  }
}
