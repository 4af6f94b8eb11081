// Keeps certificates, keys and records as files of one directory that is private to this account.
import { rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { codeOf } from '@reverse-proxy/shared/error-text'
import { ProxyError } from '@reverse-proxy/shared/errors'
import {
  cacheError,
  makePrivateDirectory,
  makePrivateSubdirectory,
  replaceFile,
  sweepTemporary,
  syncDirectory,
} from './atomic-file.ts'
import { CertificateStore } from './generations.ts'
import { lockDirectory } from './lock.ts'
import { restrict, unexpectedEntry, strangersIn } from './permissions.ts'
import { readPrivateFile } from './private-file.ts'
import { quarantineFile } from './private-file.ts'
import type { CertificateStorage, Exposure, HeldLock, LockOptions, Quarantined } from './storage.ts'
import { DamagedValueError } from './storage.ts'

/** The longest thing kept is a response of a CA (1 MiB), quoted. */
const LIMIT_BYTES = 8 * 1024 * 1024

export function openFileStorage(directory: string): CertificateStorage {
  return new FileStorage(directory)
}

class FileStorage implements CertificateStorage {
  readonly certificates: CertificateStore
  readonly #directory: string

  constructor(directory: string) {
    this.#directory = directory
    this.certificates = new CertificateStore(directory)
  }

  within(prefix: string): CertificateStorage {
    return new FileStorage(join(this.#directory, prefix))
  }

  locate(key: string): string {
    return join(this.#directory, key)
  }

  async lock(options: LockOptions): Promise<HeldLock> {
    return await lockDirectory(this.#directory, options)
  }

  async prepare(): Promise<void> {
    await this.#attempt(async () => await makePrivateDirectory(this.#directory))
  }

  async secure(): Promise<readonly Exposure[]> {
    const directory = this.#directory
    const foreign = await unexpectedEntry(directory)
    if (foreign !== undefined) {
      throw new ProxyError('CACHE', `${directory} is no certificate cache: it holds ${foreign}`, {
        hint: 'tls.acme_cache_dir must be a directory of its own; nothing in this one has been changed',
      })
    }
    return [...(await restrict(directory)), ...(await strangersIn(directory))]
  }

  async load(key: string): Promise<string | undefined> {
    return await this.#attempt(async () => await readPrivateFile(this.locate(key), LIMIT_BYTES))
  }

  async store(key: string, value: string, lock?: HeldLock): Promise<void> {
    const path = this.locate(key)
    const folder = dirname(key)
    await lock?.assertHeld()
    await this.#attempt(async () => {
      if (folder !== '.') await makePrivateSubdirectory(this.#directory, folder)
      await replaceFile(path, value)
      if (lock !== undefined) await sweepTemporary(dirname(path))
    })
  }

  async remove(key: string, lock?: HeldLock): Promise<void> {
    const path = this.locate(key)
    await lock?.assertHeld()
    await this.#attempt(async () => {
      await rm(path, { force: true })
      await syncDirectory(dirname(path)).catch((error: unknown) => {
        if (codeOf(error) !== 'ENOENT') throw error
      })
    })
  }

  async quarantine(key: string, reason: string): Promise<Quarantined | undefined> {
    return await this.#attempt(async () => await quarantineFile(this.#directory, key, reason))
  }

  async #attempt<Result>(work: () => Promise<Result>): Promise<Result> {
    try {
      return await work()
    } catch (error) {
      throw error instanceof DamagedValueError ? error : cacheError(this.#directory, error)
    }
  }
}
