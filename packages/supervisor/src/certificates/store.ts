// One certificate with its key, kept on disk so that a crash at any point leaves a matching pair:
//
//   generations/<time>-<serial>/{cert.pem,key.pem,meta.json}   written and synced, then never changed
//   current -> generations/...                                 replaced by one rename
//   quarantine/<name>/                                         what could not be used, kept for a look
//
// The generation before the current one is kept. Knows nothing of CAs; the caller holds the lock.
import { randomBytes } from 'node:crypto'
import { readdir, readFile, readlink, rename, rm, symlink } from 'node:fs/promises'
import { basename, join } from 'node:path'
import type { CertificateFacts, Inspection } from './inspect.ts'
import { cacheError, codeOf, createFile, makePrivateDirectory, syncDirectory } from './durable.ts'
import { parseRecord } from './json.ts'

export interface StoredCertificate {
  readonly certPem: string
  readonly keyPem: string
  readonly facts: CertificateFacts
  /** What issued it: an ACME directory URL, or the serial of the internal root. */
  readonly origin: string
  /** The ACME account that ordered it: its URL. */
  readonly accountUrl?: string | undefined
  /** When we got it, by our clock. */
  readonly obtainedMs: number
}

/** `inspect` is how a pair is checked. */
export type PairInspector = (pair: { certPem: string; keyPem: string }) => Promise<Inspection>

export interface Quarantined {
  readonly path: string
  readonly reason: string
}

export interface Loaded {
  readonly certificate: StoredCertificate | undefined
  /** What was put aside while looking for it. */
  readonly quarantined: readonly Quarantined[]
}

const FORMAT_VERSION = 1

export class CertificateStore {
  readonly directory: string
  readonly #generations: string
  readonly #current: string
  readonly #quarantine: string

  constructor(directory: string) {
    this.directory = directory
    this.#generations = join(directory, 'generations')
    this.#current = join(directory, 'current')
    this.#quarantine = join(directory, 'quarantine')
  }

  /** Finds out, before anything is ordered, whether a certificate could be saved. Throws CACHE. */
  async prepare(): Promise<void> {
    try {
      await makePrivateDirectory(this.directory)
      await makePrivateDirectory(this.#generations)
      const probe = join(this.#generations, `.probe-${randomBytes(6).toString('hex')}`)
      await createFile(probe, 'probe')
      await rm(probe)
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
    for (const name of await this.#candidates()) {
      const found = await this.#read(name, inspect)
      if (typeof found !== 'string') return { certificate: found, quarantined }
      const path = await this.#putAside(name)
      if (path !== undefined) quarantined.push({ path, reason: found })
    }
    return { certificate: undefined, quarantined }
  }

  /**
   * Makes `certificate` the current one. `mayCommit` is asked directly before the rename that does it,
   * and throws to stop that. Throws CACHE.
   */
  async save(certificate: StoredCertificate, mayCommit: () => Promise<void>): Promise<void> {
    const { certPem, keyPem, facts, origin, accountUrl, obtainedMs } = certificate
    const time = new Date(obtainedMs).toISOString().replaceAll(/[-:]/gu, '')
    const name = `${time}-${facts.serial.slice(-12)}-${randomBytes(2).toString('hex')}`
    const path = join(this.#generations, name)
    const link = `${this.#current}.${randomBytes(6).toString('hex')}.new`
    const previous = await this.#currentName()
    try {
      await makePrivateDirectory(path)
      await createFile(join(path, 'cert.pem'), certPem)
      await createFile(join(path, 'key.pem'), keyPem)
      await createFile(
        join(path, 'meta.json'),
        `${JSON.stringify({ version: FORMAT_VERSION, origin, accountUrl, obtainedMs })}\n`,
      )
      await syncDirectory(path)
      await syncDirectory(this.#generations)
      await symlink(join('generations', name), link)
    } catch (error) {
      throw cacheError(this.directory, error)
    }
    try {
      await mayCommit()
      await rename(link, this.#current).catch((error: unknown) => {
        throw cacheError(this.directory, error)
      })
    } catch (error) {
      await rm(link, { force: true })
      throw error
    }
    await syncDirectory(this.directory)
    await this.#prune(new Set([name, previous]))
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
    const current = await this.#currentName()
    // Without a current one nothing has ever been completed: what is there may be half written.
    if (current === undefined) return []
    const others = names.filter((name) => name !== current && !name.startsWith('.'))
    const newestFirst = others.toSorted((a, b) => (a < b ? 1 : -1))
    return [current, ...newestFirst.filter((name) => name < current)]
  }

  async #currentName(): Promise<string | undefined> {
    try {
      return basename(await readlink(this.#current))
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return undefined
      throw cacheError(this.directory, error)
    }
  }

  /** The generation, or why it is none. */
  async #read(name: string, inspect: PairInspector): Promise<StoredCertificate | string> {
    const path = join(this.#generations, name)
    let certPem: string
    let keyPem: string
    let meta: string
    try {
      certPem = await readFile(join(path, 'cert.pem'), 'utf8')
      keyPem = await readFile(join(path, 'key.pem'), 'utf8')
      meta = await readFile(join(path, 'meta.json'), 'utf8')
    } catch (error) {
      if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR') return `a file of ${name} is missing`
      // Not damage but permissions or a failing disk: moving it away would hide that.
      throw cacheError(this.directory, error)
    }
    const provenance = parseMeta(meta)
    if (provenance === undefined) return 'meta.json is damaged'
    const inspection = await inspect({ certPem, keyPem })
    if (!inspection.ok) return inspection.reason
    return { certPem: inspection.certPem, keyPem, facts: inspection.facts, ...provenance }
  }

  async #putAside(name: string): Promise<string | undefined> {
    const path = join(this.#quarantine, `${name}-${randomBytes(2).toString('hex')}`)
    try {
      await makePrivateDirectory(this.#quarantine)
      await rename(join(this.#generations, name), path)
      return path
    } catch (error) {
      // Already moved by another process, or never there.
      if (codeOf(error) === 'ENOENT') return undefined
      throw cacheError(this.directory, error)
    }
  }

  async #prune(kept: ReadonlySet<string | undefined>): Promise<void> {
    const names = await readdir(this.#generations).catch(() => [])
    for (const name of names) {
      if (kept.has(name)) continue
      // The new certificate is safe: what cannot be removed now is removed next time.
      await rm(join(this.#generations, name), { recursive: true, force: true }).catch(() => {})
    }
  }
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
