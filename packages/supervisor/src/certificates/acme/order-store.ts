// The order that is about to be finalized, with the key it is for: kept in the cache directory until its certificate
// has been saved, so that a process that is killed in between does not order, and pay for, a second one. One JSON
// value, replaced as a whole. The caller holds the lock of the directory.
import { createPrivateKey } from 'node:crypto'
import type { OrderRecord, OrderRecords } from '../acme-client/order-request.ts'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { readCacheFile } from '../storage/cache-file.ts'
import { cacheError, replaceFile, syncDirectory } from '../storage/atomic-file.ts'
import { parseRecord } from '@reverse-proxy/shared/json'
import type { OnQuarantined } from '../storage/quarantine.ts'

const FILE_NAME = 'order.json'
const FORMAT_VERSION = 1

export class OrderStore implements OrderRecords {
  readonly #directory: string
  readonly #onQuarantined: OnQuarantined
  readonly #assertHeld: () => Promise<void>

  constructor(
    cacheDirectory: string,
    onQuarantined: OnQuarantined,
    assertHeld = async (): Promise<void> => {},
  ) {
    this.#directory = cacheDirectory
    this.#onQuarantined = onQuarantined
    this.#assertHeld = assertHeld
  }

  /** The same file; `assertHeld` throws when the lock is lost, and the file is then left to the next holder. */
  under(assertHeld: () => Promise<void>): OrderStore {
    return new OrderStore(this.#directory, this.#onQuarantined, assertHeld)
  }

  /** Undefined if there is none. A damaged file is put aside. Throws CACHE. */
  async load(): Promise<OrderRecord | undefined> {
    return await readCacheFile({
      directory: this.#directory,
      name: FILE_NAME,
      parse: parseOrder,
      onQuarantined: this.#onQuarantined,
    })
  }

  /** On the disk when it resolves. Throws CACHE, which a lost lock is, too. */
  async save(record: OrderRecord): Promise<void> {
    await this.#assertHeld()
    try {
      const text = JSON.stringify({ version: FORMAT_VERSION, ...record })
      await replaceFile(join(this.#directory, FILE_NAME), `${text}\n`)
    } catch (error) {
      throw cacheError(this.#directory, error)
    }
  }

  /** Idempotent. Never rejects: a record that stays is known by its key, which is in service, or by its failures. */
  async clear(): Promise<void> {
    try {
      await this.#assertHeld()
      await rm(join(this.#directory, FILE_NAME), { force: true })
      await syncDirectory(this.#directory)
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
