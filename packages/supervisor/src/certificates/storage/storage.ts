// The storage that keeps and locks the certificates of a machine; files are the first implementation. Keys are
// '/'-separated; a value is UTF-8 text that a reader finds whole, the old one or the new. Knows nothing of CAs.
import { ProxyError } from '@reverse-proxy/shared/errors'
import type { StoredCertificate } from '../certificate.ts'
import type { Inspection } from '../crypto/inspect.ts'

/** A lock of one process at a time. */
export interface HeldLock {
  /** Aborted, with a LockLostError, when the lock has been lost. */
  readonly signal: AbortSignal
  /** Throws LockLostError unless this process is still the holder. */
  assertHeld(): Promise<void>
  /** Idempotent; never throws. */
  release(): Promise<void>
}

export interface LockOptions {
  readonly signal: AbortSignal
  /** Called once, if another process has to be waited for. */
  readonly onWaiting: (holder: string) => void
  readonly waitLimitMs?: number
}

interface Locker {
  /** Locks everything in this storage. Throws CACHE when that fails, or the holder outlasts the limit. */
  lock(options: LockOptions): Promise<HeldLock>
}

/** Another process has taken the lock away from this one. */
export class LockLostError extends ProxyError {
  constructor(place: string, cause: unknown) {
    super('CACHE', `the lock on ${place} was lost to another process`, {
      cause,
      hint: 'this process stood still for too long, or somebody removed the lock; it tries again by itself',
    })
  }
}

/** In a row, by a process that is stopped again and again. */
const LOSSES_TOLERATED = 3

/** Runs `work`, and again if that loses its lock: it then waits for the new holder and finds its result. */
export async function againIfLost<Result>(work: () => Promise<Result>): Promise<Result> {
  for (let losses = 0; ; losses++) {
    try {
      return await work()
    } catch (error) {
      if (!(error instanceof LockLostError) || losses === LOSSES_TOLERATED) throw error
    }
  }
}

export interface CertificateStorage extends Locker {
  readonly certificates: StoredCertificates
  /** The part of it whose keys begin with `prefix`, with a lock and certificates of its own. */
  within(prefix: string): CertificateStorage
  /** Where the value is kept, for people. */
  locate(key: string): string
  /** Makes ready to be locked and stored in. Throws CACHE where nothing could be stored. */
  prepare(): Promise<void>
  /** Removes access of other accounts, and reports it. Throws CACHE if the place holds files that are not ours. */
  secure(): Promise<readonly Exposure[]>
  /** Undefined if there is none. Throws DamagedValueError, or CACHE when it cannot be read at all. */
  load(key: string): Promise<string | undefined>
  /**
   * Durable when it resolves. With `lock`, of this storage, nothing is stored once that is lost, and what killed
   * processes have left here is removed. Throws CACHE.
   */
  store(key: string, value: string, lock?: HeldLock): Promise<void>
  /** Idempotent. Throws CACHE, and when `lock` is lost. */
  remove(key: string, lock?: HeldLock): Promise<void>
  /** Keeps a value that cannot be used out of the way; undefined if it has gone already. */
  quarantine(key: string, reason: string): Promise<Quarantined | undefined>
}

/** The value is not one of ours and can be quarantined. */
export class DamagedValueError extends Error {}

/** `inspect` is how a pair is checked. */
export type PairInspector = (pair: { certPem: string; keyPem: string }) => Promise<Inspection>

/** Certificates, each with key and metadata in one value. One of them is current. The caller of `save` holds the lock. */
export interface StoredCertificates {
  /** Finds out, before anything is ordered, whether a certificate could be saved. Throws CACHE. */
  prepare(): Promise<void>
  /** The current certificate; where that cannot be used, the newest other one that can. Throws CACHE. */
  load(inspect: PairInspector): Promise<Loaded>
  /** All that can be used. What has been read so, `save` keeps while it is needed. Throws CACHE. */
  loadAll(inspect: PairInspector): Promise<AllLoaded>
  /** Reads the current pair without checking or changing anything; undefined if there is none. */
  peek(): Promise<{ readonly certPem: string; readonly keyPem: string } | undefined>
  /**
   * Makes `certificate`, with its key and metadata, the current one in a single step. Checks `lock` directly before;
   * if that is lost, nothing is left of `certificate`. Throws CACHE.
   */
  save(certificate: StoredCertificate, lock: Pick<HeldLock, 'assertHeld'>): Promise<void>
}

export interface Loaded {
  readonly certificate: StoredCertificate | undefined
  /** Files that were quarantined during the search. */
  readonly quarantined: readonly Quarantined[]
}

export interface AllLoaded {
  /** The current one first, then the others, newest first. */
  readonly certificates: readonly StoredCertificate[]
  /** Files that were quarantined during the search. */
  readonly quarantined: readonly Quarantined[]
}

export interface Quarantined {
  /** Where it lies now. */
  readonly path: string
  readonly reason: string
}

/** Told of everything that is quarantined. */
export type OnQuarantined = (quarantined: Quarantined) => void

/** Something that others can read or change. */
export interface Exposure {
  readonly path: string
  readonly problem: string
}

/** Opens what is kept in a directory, or under the name that a directory has in a store that machines share. */
export interface StorageOpener {
  openStorage(directory: string): CertificateStorage
}

export interface StoredValue<Content> {
  readonly storage: CertificateStorage
  readonly key: string
  /** Undefined: the text is not what we write. */
  readonly parse: (text: string) => Content | undefined
  readonly onQuarantined: OnQuarantined
}

/** Undefined if there is none, or the stored value was damaged and is now quarantined. Throws CACHE if it cannot be read. */
export async function readValue<Content>(value: StoredValue<Content>): Promise<Content | undefined> {
  const { storage, key, parse, onQuarantined } = value
  try {
    const text = await storage.load(key)
    if (text === undefined) return undefined
    const content = parse(text)
    if (content === undefined) throw new DamagedValueError('its content is damaged')
    return content
  } catch (error) {
    if (!(error instanceof DamagedValueError)) throw error
    const put = await storage.quarantine(key, error.message)
    if (put !== undefined) onQuarantined(put)
    return undefined
  }
}
