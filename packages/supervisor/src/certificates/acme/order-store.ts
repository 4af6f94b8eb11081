// The order that is about to be finalized, with the key it is for: kept in the cache directory until its certificate
// has been saved, so that a process that is killed in between does not order, and pay for, a second one. One JSON
// value, replaced as a whole. The caller holds the lock of the directory.
import { createPrivateKey } from 'node:crypto'
import type { OrderRecord, OrderRecords } from '../acme-client/order-request.ts'
import { parseRecord } from '@reverse-proxy/shared/json'
import type { CertificateStorage, HeldLock, OnQuarantined } from '../storage/storage.ts'
import { readValue } from '../storage/storage.ts'

const KEY = 'order.json'
const FORMAT_VERSION = 1

export class OrderStore implements OrderRecords {
  readonly #storage: CertificateStorage
  readonly #onQuarantined: OnQuarantined
  readonly #lock: HeldLock | undefined

  constructor(storage: CertificateStorage, onQuarantined: OnQuarantined, lock?: HeldLock) {
    this.#storage = storage
    this.#onQuarantined = onQuarantined
    this.#lock = lock
  }

  /** The same record; once `lock` is lost it is left to the next holder. */
  under(lock: HeldLock): OrderStore {
    return new OrderStore(this.#storage, this.#onQuarantined, lock)
  }

  /** Undefined if there is none. A damaged file is put aside. Throws CACHE. */
  async load(): Promise<OrderRecord | undefined> {
    return await readValue({
      storage: this.#storage,
      key: KEY,
      parse: parseOrder,
      onQuarantined: this.#onQuarantined,
    })
  }

  /** On the disk when it resolves. Throws CACHE, which a lost lock is, too. */
  async save(record: OrderRecord): Promise<void> {
    const text = JSON.stringify({ version: FORMAT_VERSION, ...record })
    await this.#storage.store(KEY, `${text}\n`, this.#lock)
  }

  /** Idempotent. Never rejects: a record that stays is known by its key, which is in service, or by its failures. */
  async clear(): Promise<void> {
    try {
      await this.#storage.remove(KEY, this.#lock)
    } catch {
      // The next attempt tries again.
    }
  }
}

function parseOrder(text: string): OrderRecord | undefined {
  const record = parseRecord(text)
  if (record?.['version'] !== FORMAT_VERSION) return undefined
  const { directoryUrl, accountUrl, orderUrl, names, keyPem, csr, failures } = record
  if (typeof directoryUrl !== 'string' || typeof accountUrl !== 'string' || typeof orderUrl !== 'string')
    return undefined
  if (typeof csr !== 'string' || typeof keyPem !== 'string' || !isPrivateKey(keyPem)) return undefined
  // Fewer than none would be given up after many more attempts.
  if (typeof failures !== 'number' || !(failures >= 0)) return undefined
  if (!Array.isArray(names) || names.length === 0 || !names.every((name) => typeof name === 'string'))
    return undefined
  return { directoryUrl, accountUrl, orderUrl, names, keyPem, csr, failures }
}

/** With anything else, every attempt would end at it once more. */
function isPrivateKey(keyPem: string): boolean {
  try {
    createPrivateKey(keyPem)
    return true
  } catch {
    return false
  }
}
