// Accounts at CAs: their keys and URLs on disk. CAs count accounts for a machine, not for a listener: one for each
// CA, external account and contact lies in state_dir, for all listeners and all supervisors there. A cache directory
// has a copy of the account that its listener orders by. A listener that had one of its own before stays with it,
// since the CA knows that its names are proved and what its certificate replaces; if the machine has none, that
// account becomes the machine's. When it is gone, its listener goes over to the machine's.
import { createHash, createPrivateKey } from 'node:crypto'
import { ProxyError } from '@reverse-proxy/shared/errors'
import { parseRecord } from '@reverse-proxy/shared/json'
import type {
  Account,
  AccountId,
  ListenerAccounts,
  LockedOptions,
  MachineAccounts,
} from '../acme-client/account.ts'
import type { CertificateStorage, HeldLock, OnQuarantined } from '../storage/storage.ts'
import { againIfLost, LockLostError, readValue } from '../storage/storage.ts'

/** The accounts of one listener; the caller holds the lock of its storage. */
export class AccountStore implements ListenerAccounts {
  readonly #storage: CertificateStorage
  readonly #onQuarantined: OnQuarantined
  readonly #lock: HeldLock | undefined

  constructor(storage: CertificateStorage, onQuarantined: OnQuarantined, lock?: HeldLock) {
    this.#storage = storage
    this.#onQuarantined = onQuarantined
    this.#lock = lock
  }

  /** The same accounts; once `lock` is lost they are left to the next holder. */
  under(lock: HeldLock): AccountStore {
    return new AccountStore(this.#storage, this.#onQuarantined, lock)
  }

  /** A damaged one is quarantined. */
  async load(directoryUrl: string): Promise<Account | undefined> {
    return await readValue({
      storage: this.#storage,
      key: keyOf(directoryUrl),
      parse: (text) => parseAccount(text, directoryUrl),
      onQuarantined: this.#onQuarantined,
    })
  }

  async save(account: Account): Promise<void> {
    await this.#storage.store(keyOf(account.directoryUrl), `${JSON.stringify(account)}\n`, this.#lock)
  }
}

function keyOf(directoryUrl: string): string {
  return `accounts/${new URL(directoryUrl).hostname}-${digestOf(directoryUrl)}.json`
}

function digestOf(...parts: readonly string[]): string {
  return createHash('sha256').update(parts.join('\n')).digest('hex').slice(0, 12)
}

/** The accounts of the machine at one CA, with one external account or none. */
export class SharedAccounts implements MachineAccounts {
  /** One for each CA: one that is slow to register delays no other. */
  readonly #storage: CertificateStorage
  readonly #onQuarantined: OnQuarantined
  #lock: HeldLock | undefined

  constructor(
    state: CertificateStorage,
    { directoryUrl, eabKid = '' }: AccountId,
    onQuarantined: OnQuarantined,
  ) {
    const name = `${new URL(directoryUrl).hostname}-${digestOf(directoryUrl, eabKid)}`
    this.#storage = state.within(`acme/accounts/${name}`)
    this.#onQuarantined = onQuarantined
  }

  async load({ directoryUrl, contact }: AccountId): Promise<Account | undefined> {
    return await readValue({
      storage: this.#storage,
      key: fileOf(contact),
      parse: (text) => parseAccount(text, directoryUrl),
      onQuarantined: this.#onQuarantined,
    })
  }

  async save(account: Account, contact: string): Promise<void> {
    const saving = this.#storage.store(fileOf(contact), `${JSON.stringify(account)}\n`, this.#lock)
    await saving.catch(rethrow)
  }

  async remove(contact: string): Promise<void> {
    await this.#storage.remove(fileOf(contact), this.#lock)
  }

  async locked(work: () => Promise<void>, options: LockedOptions): Promise<void> {
    await this.#storage.prepare().catch(rethrow)
    await againIfLost(async () => {
      const lock = await this.#storage.lock(options)
      this.#lock = lock
      try {
        await work()
      } finally {
        this.#lock = undefined
        await lock.release()
      }
    })
  }
}

function fileOf(contact: string): string {
  return `${digestOf(contact)}.json`
}

/** Adds to an error which directory cannot be used. A lost lock is not an error of the directory. */
function rethrow(error: unknown): never {
  if (!(error instanceof ProxyError) || error instanceof LockLostError) throw error
  throw new ProxyError('CACHE', `${error.message} (accounts at CAs are kept there, below state_dir)`, {
    cause: error,
    hint: `${error.hint ?? 'check the directory'}; or set state_dir to another one`,
  })
}

function parseAccount(text: string, expectedUrl: string): Account | undefined {
  const account = parseRecord(text)
  if (account === undefined) return undefined
  const { directoryUrl, keyPem, url, contact, eabKid } = account
  if (directoryUrl !== expectedUrl || typeof keyPem !== 'string' || !isAccountKey(keyPem)) return undefined
  return {
    directoryUrl: expectedUrl,
    keyPem,
    url: typeof url === 'string' ? url : undefined,
    contact: typeof contact === 'string' ? contact : undefined,
    ...((typeof eabKid === 'string' || eabKid === null) && { eabKid }),
  }
}

/** RFC 7518 3.1 */
const CURVES: readonly (string | undefined)[] = ['prime256v1', 'secp384r1', 'secp521r1']

/** Any other key would fail at every request. */
function isAccountKey(keyPem: string): boolean {
  try {
    const { asymmetricKeyType, asymmetricKeyDetails } = createPrivateKey(keyPem)
    return asymmetricKeyType === 'rsa' || CURVES.includes(asymmetricKeyDetails?.namedCurve)
  } catch {
    return false
  }
}
