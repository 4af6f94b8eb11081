// One certificate with its key, kept on disk so that a crash at any point leaves a matching pair:
//
//   generations/<time>-<serial>/{cert.pem,key.pem,meta.json}   written and synced under another name first
//   current -> generations/...                                 replaced by one rename
//   quarantine/<name>/                                         what could not be used, kept for a look
//
// The generation before the current one is kept, and so is each that still has a name no newer one has. Knows
// nothing of CAs. The caller of `save` holds the lock.
import { randomBytes } from 'node:crypto'
import { lstat, readdir, readFile, readlink, rename, rm, symlink } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { isoTime } from '@reverse-proxy/shared/clock'
import { codeOf } from '@reverse-proxy/shared/error-text'
import type { StoredCertificate } from '../certificate.ts'
import {
  cacheError,
  createFile,
  isTemporary,
  makePrivateDirectory,
  makePrivateSubdirectory,
  sweepTemporary,
  syncDirectory,
  temporaryPath,
} from './atomic-file.ts'
import { parseRecord } from '@reverse-proxy/shared/json'
import { readPrivateFile } from './private-file.ts'
import type {
  AllLoaded,
  HeldLock,
  Loaded,
  PairInspector,
  Quarantined,
  StoredCertificates,
} from './storage.ts'
import { DamagedValueError } from './storage.ts'
import { quarantineFile } from './private-file.ts'

const FORMAT_VERSION = 1
/** Names made by `nameOf`. */
const GENERATION = /^\d{8}T\d{6}(?:\.\d{3})?Z-[\dA-F]+-[\da-f]{4}$/u
/** Upper bound of the disk space of a generation. */
const GENERATION_BYTES = 64 * 1024
/** Size limit of each file: far more than any chain. */
const FILE_LIMIT_BYTES = 256 * 1024

export class CertificateStore implements StoredCertificates {
  readonly directory: string
  readonly #generations: string
  readonly #current: string
  /** By generation: what was found when all were read. */
  #found: ReadonlyMap<string, StoredCertificate> = new Map()

  constructor(directory: string) {
    this.directory = directory
    this.#generations = join(directory, 'generations')
    this.#current = join(directory, 'current')
  }

  /** Finds out, before anything is ordered, whether a certificate could be saved. Throws CACHE. */
  async prepare(): Promise<void> {
    try {
      await makePrivateDirectory(this.directory)
      await makePrivateSubdirectory(this.directory, 'generations')
      const probe = temporaryPath(join(this.#generations, '.probe'))
      await createFile(probe, '.'.repeat(GENERATION_BYTES))
      // The holder of the lock may have removed it already.
      await rm(probe, { force: true })
    } catch (error) {
      throw cacheError(this.directory, error)
    }
  }

  /**
   * The current certificate; where that cannot be used, the newest other one that can. A generation
   * that is torn, unreadable or mismatched is moved to quarantine. Throws CACHE when nothing can be read at all.
   */
  async load(inspect: PairInspector): Promise<Loaded> {
    const quarantined: Quarantined[] = []
    for await (const [, certificate] of this.#usable(inspect, quarantined)) {
      return { certificate, quarantined }
    }
    return { certificate: undefined, quarantined }
  }

  /** All that can be used; else as `load`. What has been read so, `save` keeps while it is needed. */
  async loadAll(inspect: PairInspector): Promise<AllLoaded> {
    const quarantined: Quarantined[] = []
    const found = new Map<string, StoredCertificate>()
    for await (const [name, certificate] of this.#usable(inspect, quarantined)) found.set(name, certificate)
    this.#found = found
    return { certificates: [...found.values()], quarantined }
  }

  /** Puts into `quarantined` what it puts aside. */
  async *#usable(
    inspect: PairInspector,
    quarantined: Quarantined[],
  ): AsyncGenerator<readonly [name: string, certificate: StoredCertificate]> {
    const quarantine = async (name: string, reason: string): Promise<void> => {
      const put = await quarantineFile(this.directory, name, reason)
      if (put !== undefined) quarantined.push(put)
    }
    if ((await this.#readCurrent()).isDamaged) await quarantine('current', 'it is not a symbolic link')
    for (const name of await this.#candidates()) {
      const found = await this.#read(name, inspect)
      if (typeof found === 'string') await quarantine(join('generations', name), found)
      else yield [name, found]
    }
  }

  async peek(): Promise<{ readonly certPem: string; readonly keyPem: string } | undefined> {
    const read = async (name: string): Promise<string> => await readFile(join(this.#current, name), 'utf8')
    try {
      return { certPem: await read('cert.pem'), keyPem: await read('key.pem') }
    } catch {
      return undefined
    }
  }

  async save(certificate: StoredCertificate, lock: Pick<HeldLock, 'assertHeld'>): Promise<void> {
    const { name: previous } = await this.#readCurrent()
    const name = nameOf(certificate)
    const link = temporaryPath(this.#current)
    try {
      await this.#write(name, certificate)
      await symlink(join('generations', name), link)
    } catch (error) {
      throw cacheError(this.directory, error)
    }
    try {
      await lock.assertHeld()
    } catch (error) {
      await this.#discard(link)
      await this.#discard(join(this.#generations, name))
      throw error
    }
    try {
      await rename(link, this.#current)
    } catch (error) {
      await this.#discard(link)
      throw cacheError(this.directory, error)
    }
    await syncDirectory(this.directory).catch((error: unknown) => {
      throw cacheError(this.directory, error)
    })
    await this.#prune(new Set([name, previous, ...this.#stillNeeded(certificate)]))
    await sweepTemporary(this.directory)
  }

  /** Writes a generation and names it when it is complete: readers without the lock never see half of it. */
  async #write(name: string, certificate: StoredCertificate): Promise<void> {
    const { certPem, keyPem, origin, accountUrl, obtainedMs } = certificate
    const temporary = temporaryPath(`.${name}`)
    const path = await makePrivateSubdirectory(this.#generations, temporary)
    await createFile(join(path, 'cert.pem'), certPem)
    await createFile(join(path, 'key.pem'), keyPem)
    const meta = { version: FORMAT_VERSION, origin, accountUrl, obtainedMs }
    await createFile(join(path, 'meta.json'), `${JSON.stringify(meta)}\n`)
    await syncDirectory(path)
    await rename(path, join(this.#generations, name))
    await syncDirectory(this.#generations)
  }

  /** Current first, then the others, newest first. */
  async #candidates(): Promise<string[]> {
    let names: string[]
    try {
      names = await readdir(this.#generations)
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return []
      throw cacheError(this.directory, error)
    }
    const { name: current } = await this.#readCurrent()
    const complete = names.filter((name) => GENERATION.test(name))
    const newestFirst = complete.toSorted((a, b) => (a < b ? 1 : -1))
    // A link to something else would lead anywhere.
    return newestFirst.toSorted((a, b) => Number(b === current) - Number(a === current))
  }

  /** The name of the current generation, which need not exist. */
  async #readCurrent(): Promise<{ readonly name?: string; readonly isDamaged: boolean }> {
    try {
      return { name: basename(await readlink(this.#current)), isDamaged: false }
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return { isDamaged: false }
      if (codeOf(error) === 'EINVAL') return { isDamaged: true }
      throw cacheError(this.directory, error)
    }
  }

  /** The generation, or why it is none. */
  async #read(name: string, inspect: PairInspector): Promise<StoredCertificate | string> {
    const path = join(this.#generations, name)
    const read = async (file: string): Promise<string> => {
      const text = await readPrivateFile(join(path, file), FILE_LIMIT_BYTES)
      if (text === undefined) throw new DamagedValueError(`${file} is missing`)
      return text
    }
    let files: readonly [certPem: string, keyPem: string, meta: string]
    try {
      if (!(await lstat(path)).isDirectory()) return 'it is not a directory'
      files = [await read('cert.pem'), await read('key.pem'), await read('meta.json')]
    } catch (error) {
      if (error instanceof DamagedValueError) return error.message
      // The holder of the lock has removed it meanwhile.
      if (codeOf(error) === 'ENOENT') return 'it is gone'
      throw cacheError(this.directory, error)
    }
    const [certPem, keyPem, meta] = files
    const provenance = parseMeta(meta)
    if (provenance === undefined) return 'meta.json is damaged'
    const inspection = await inspect({ certPem, keyPem })
    if (!inspection.ok) return inspection.reason
    return { certPem: inspection.certPem, keyPem, facts: inspection.facts, ...provenance }
  }

  /** Unexpired generations with a name that no newer one has: another process may still serve them. */
  #stillNeeded({ facts, obtainedMs: nowMs }: StoredCertificate): string[] {
    const names = new Set(facts.names)
    const needed: string[] = []
    for (const [name, { facts: found }] of this.#found) {
      if (found.notAfterMs <= nowMs || found.names.every((one) => names.has(one))) continue
      for (const one of found.names) names.add(one)
      needed.push(name)
    }
    return needed
  }

  async #prune(kept: ReadonlySet<string | undefined>): Promise<void> {
    const names = await readdir(this.#generations).catch(() => [])
    for (const name of names) {
      // Files of others are left alone.
      if (kept.has(name) || !(GENERATION.test(name) || isTemporary(name))) continue
      await this.#discard(join(this.#generations, name))
    }
  }

  /** Nothing depends on it: what cannot be removed now is removed next time. */
  async #discard(path: string): Promise<void> {
    await rm(path, { recursive: true, force: true }).catch(() => {})
  }
}

/** Sorts by when it was obtained. */
function nameOf({ facts, obtainedMs }: StoredCertificate): string {
  const time = isoTime(obtainedMs).replaceAll(/[-:]/gu, '')
  return `${time}-${facts.serial.slice(-12)}-${randomBytes(2).toString('hex')}`
}

function parseMeta(
  text: string,
): Pick<StoredCertificate, 'origin' | 'accountUrl' | 'obtainedMs'> | undefined {
  const meta = parseRecord(text)
  if (meta?.['version'] !== FORMAT_VERSION) return undefined
  const { origin, accountUrl, obtainedMs } = meta
  if (typeof origin !== 'string' || typeof obtainedMs !== 'number') return undefined
  return { origin, obtainedMs, ...(typeof accountUrl === 'string' && { accountUrl }) }
}
