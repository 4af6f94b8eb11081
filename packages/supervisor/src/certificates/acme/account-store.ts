// Accounts at CAs: their keys and URLs on disk. CAs count accounts for a machine, not for a listener: one for each
// CA, external account and contact lies in state_dir, for all listeners and all supervisors there. A cache directory
// has a copy of the account that its listener orders by. A listener that had one of its own before stays with it,
// since the CA knows that its names are proved and what its certificate replaces; if the machine has none, that
// account becomes the machine's. When it is gone, its listener goes over to the machine's.
import { createHash, createPrivateKey } from 'node:crypto'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Account, AccountId, ListenerAccounts, MachineAccounts } from '../acme-client/account.ts'
import type { LockOptions } from '../storage/lock.ts'
import { againIfLost, lockDirectory } from '../storage/lock.ts'
import { ProxyError } from '@reverse-proxy/shared/errors'
import { parseRecord } from '@reverse-proxy/shared/json'
import { readCacheFile } from '../storage/cache-file.ts'
import {
  cacheError,
  makePrivateDirectory,
  makePrivateSubdirectory,
  replaceFile,
  sweepTemporary,
} from '../storage/atomic-file.ts'
import type { OnQuarantined } from '../storage/quarantine.ts'

/** The accounts of one cache directory; the caller holds its lock. */
export class AccountStore implements ListenerAccounts {
  readonly #cacheDirectory: string
  readonly #onQuarantined: OnQuarantined

  constructor(cacheDirectory: string, onQuarantined: OnQuarantined) {
    this.#cacheDirectory = cacheDirectory
    this.#onQuarantined = onQuarantined
  }

  /** The account at `directoryUrl`; undefined if there is none. A damaged file is put aside. Throws CACHE. */
  async load(directoryUrl: string): Promise<Account | undefined> {
    return await readCacheFile({
      directory: this.#cacheDirectory,
      name: nameOf(directoryUrl),
      parse: (text) => parseAccount(text, directoryUrl),
      onQuarantined: this.#onQuarantined,
    })
  }

  async save(account: Account): Promise<void> {
    try {
      const directory = await makePrivateSubdirectory(this.#cacheDirectory, DIRECTORY)
      const path = join(this.#cacheDirectory, nameOf(account.directoryUrl))
      await replaceFile(path, `${JSON.stringify(account)}\n`)
      await sweepTemporary(directory)
    } catch (error) {
      throw cacheError(this.#cacheDirectory, error)
    }
  }
}

const DIRECTORY = 'accounts'

/** Inside the cache directory. */
function nameOf(directoryUrl: string): string {
  return join(DIRECTORY, `${new URL(directoryUrl).hostname}-${digestOf(directoryUrl)}.json`)
}

function digestOf(...parts: readonly string[]): string {
  return createHash('sha256').update(parts.join('\n')).digest('hex').slice(0, 12)
}

/** The accounts of the machine at one CA, with one external account or none. Whoever changes them has locked `directory`. */
export class SharedAccounts implements MachineAccounts {
  /** A directory for each CA: one that is slow to register delays no other. */
  readonly #directory: string
  readonly #onQuarantined: OnQuarantined

  constructor(stateDir: string, { directoryUrl, eabKid = '' }: AccountId, onQuarantined: OnQuarantined) {
    const name = `${new URL(directoryUrl).hostname}-${digestOf(directoryUrl, eabKid)}`
    this.#directory = join(stateDir, 'acme', DIRECTORY, name)
    this.#onQuarantined = onQuarantined
  }

  async locked(work: () => Promise<void>, options: LockOptions): Promise<void> {
    await this.#prepare()
    await againIfLost(async () => {
      const lock = await lockDirectory(this.#directory, options)
      try {
        await work()
      } finally {
        await lock.release()
      }
    })
  }

  /** Throws CACHE, naming the directory that cannot be made or written. */
  async #prepare(): Promise<void> {
    try {
      await makePrivateDirectory(this.#directory)
    } catch (error) {
      throw sharedError(this.#directory, error)
    }
  }

  /** Undefined if there is none. Throws CACHE. */
  async load({ directoryUrl, contact }: AccountId): Promise<Account | undefined> {
    return await readCacheFile({
      directory: this.#directory,
      name: fileOf(contact),
      parse: (text) => parseAccount(text, directoryUrl),
      onQuarantined: this.#onQuarantined,
    })
  }

  /** Throws CACHE. */
  async save(account: Account, contact: string): Promise<void> {
    try {
      await makePrivateDirectory(this.#directory)
      await replaceFile(join(this.#directory, fileOf(contact)), `${JSON.stringify(account)}\n`)
      await sweepTemporary(this.#directory)
    } catch (error) {
      throw sharedError(this.#directory, error)
    }
  }

  /** Removes the entry of a contact that the account no longer has. */
  async remove(contact: string): Promise<void> {
    await rm(join(this.#directory, fileOf(contact)), { force: true })
  }
}

function fileOf(contact: string): string {
  return `${digestOf(contact)}.json`
}

function sharedError(directory: string, error: unknown): ProxyError {
  const { message, hint } = cacheError(directory, error)
  return new ProxyError('CACHE', `${message} (accounts at CAs are kept there, below state_dir)`, {
    cause: error,
    hint: `${hint ?? 'check the directory'}; or set state_dir to another one`,
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

/** Anything else would fail at every request, for ever. */
function isAccountKey(keyPem: string): boolean {
  try {
    const { asymmetricKeyType, asymmetricKeyDetails } = createPrivateKey(keyPem)
    return asymmetricKeyType === 'rsa' || CURVES.includes(asymmetricKeyDetails?.namedCurve)
  } catch {
    return false
  }
}
