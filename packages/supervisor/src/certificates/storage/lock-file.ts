// The lock of a directory as it lies on disk: a directory that proper-lockfile makes and keeps fresh, and in it one
// file that names the holder. Each file has a name of its own, and a lock is held as long as the holder's file is
// there: a process that stood still and was overtaken can neither touch nor remove what another one holds.
import { randomUUID } from 'node:crypto'
import fs from 'node:fs'
import { lstat, mkdir, readdir, rm, rmdir } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { callbackify } from 'node:util'
import lockfile from 'proper-lockfile'
import { codeOf } from '@reverse-proxy/shared/error-text'
import { parseRecord } from '@reverse-proxy/shared/json'
import { createFile } from './atomic-file.ts'
import { readPrivateFile } from './private-file.ts'

/** How often a living holder touches its file. */
export const LOCK_UPDATE_MS = 2_500
const HOLDER_LIMIT_BYTES = 4096

export interface Holder {
  readonly pid: number
  readonly host: string
  readonly since: string
  /** Name of the host lock that it has; undefined if it has none. */
  readonly guard: string | undefined
}

export class LockFile {
  readonly #directory: string
  readonly #path: string
  readonly #file: string
  readonly #lost = new AbortController()
  #unlock: (() => Promise<void>) | undefined
  #isReleased = false

  constructor(directory: string) {
    this.#directory = directory
    this.#path = lockPathOf(directory)
    this.#file = join(this.#path, `${randomUUID()}.json`)
  }

  /** Aborted, with proper-lockfile's error, when our file is found to be gone. */
  get lost(): AbortSignal {
    return this.#lost.signal
  }

  /** False if there is a lock already, of a living process or a dead one. */
  async make(holder: Holder): Promise<boolean> {
    const file = this.#file
    try {
      this.#unlock = await lockfile.lock(this.#directory, {
        lockfilePath: this.#path,
        // proper-lockfile takes over stale locks in a race (its issue 121): lock.ts does that instead.
        stale: Infinity,
        update: LOCK_UPDATE_MS,
        fs: {
          ...fs,
          mkdir: callbackify(async (_path: string) => await this.#enter(holder)),
          stat: callbackify(async (_path: string) => await lstat(file)),
          utimes: (_path: string, accessed: Date, modified: Date, done: fs.NoParamCallback) =>
            fs.utimes(file, accessed, modified, done),
          rmdir: callbackify(async (_path: string) => await this.#leave()),
        },
        onCompromised: (cause) => {
          // A timer that runs into our own release reports this, too.
          if (!this.#isReleased) this.#lost.abort(cause)
        },
      })
      return true
    } catch (error) {
      if (codeOf(error) === 'ELOCKED') return false
      if (codeOf(error) !== 'ENOENT') throw error
      // Somebody removed the lock while we made it, unless the directory itself is gone.
      await lstat(this.#directory)
      return false
    }
  }

  async isOurs(): Promise<boolean> {
    if (this.#lost.signal.aborted || this.#unlock === undefined) return false
    return await lstat(this.#file).then(
      () => true,
      () => false,
    )
  }

  /** Removes it if it is ours. proper-lockfile's timer finds a lost one, and stops. Never throws. */
  async release(): Promise<void> {
    const isOurs = await this.isOurs()
    this.#isReleased = true
    if (isOurs) await this.#unlock?.().catch(() => {})
  }

  /** Enters the lock directory. If two do so at once, at least one sees the other and leaves. */
  async #enter(holder: Holder): Promise<void> {
    try {
      await mkdir(this.#path, { mode: 0o700 })
    } catch (error) {
      throw codeOf(error) === 'EEXIST' ? lockedError(error) : error
    }
    try {
      await createFile(this.#file, `${JSON.stringify(holder)}\n`)
      const names = await readdir(this.#path)
      if (names.length > 1 || names[0] === undefined || join(this.#path, names[0]) !== this.#file)
        throw lockedError(undefined)
    } catch (error) {
      await this.#leave().catch(() => {})
      throw error
    }
  }

  /** Leaves alone what is another's. */
  async #leave(): Promise<void> {
    await rm(this.#file, { force: true })
    await rmdir(this.#path).catch((error: unknown) => {
      if (!['ENOENT', 'ENOTDIR', 'ENOTEMPTY', 'EEXIST'].includes(codeOf(error) ?? '')) throw error
    })
  }
}

/** As proper-lockfile has it when there is a lock already. */
function lockedError(cause: unknown): Error {
  return Object.assign(new Error('there is another holder', { cause }), { code: 'ELOCKED' })
}

/** The lock of some process. */
export interface LockState {
  /** Equal if nothing was touched, added or removed; empty if there is no lock. */
  readonly identity: string
  /** The process that each file in it names: the present holder, and earlier ones that left their file behind. */
  readonly holders: readonly (Holder | undefined)[]
  /** Last time that it was touched, by the clock of the toucher. */
  readonly touchedMs: number
}

export async function readLock(directory: string): Promise<LockState> {
  const path = lockPathOf(directory)
  const lock = await lstat(path).catch(undefinedIfGone)
  if (lock === undefined) return { identity: '', holders: [], touchedMs: Infinity }
  const names = lock.isDirectory() ? await readdir(path).catch(() => []) : []
  const paths = names.map((name) => join(path, name))
  const found = await Promise.all(paths.map(async (file) => await lstat(file).catch(undefinedIfGone)))
  const files = found.filter((one) => one !== undefined)
  return {
    identity: [...[lock, ...files].map(({ ino, mtimeMs }) => `${ino} ${mtimeMs}`), ...names].join(' '),
    holders: await Promise.all(paths.map(readHolder)),
    touchedMs: Math.max(...(files.length > 0 ? files : [lock]).map(({ mtimeMs }) => mtimeMs)),
  }
}

/** Removes the lock, whatever it is, unless it has changed since it was read. */
export async function removeLock(directory: string, { identity }: LockState): Promise<void> {
  if ((await readLock(directory)).identity !== identity) return
  await rm(lockPathOf(directory), { recursive: true, force: true }).catch((error: unknown) => {
    // Another process has entered it meanwhile: the caller looks again.
    if (codeOf(error) !== 'ENOTEMPTY') throw error
  })
}

/** `process 123 on a.example, since 2026-01-02T03:04:05.678Z` */
export function describeHolder(holder: Holder | undefined): string {
  if (holder === undefined) return 'another process'
  const where = holder.host === hostname() ? '' : ` on ${holder.host}`
  return `process ${holder.pid}${where}, since ${holder.since}`
}

/** Undefined if the file names nobody, for whatever reason. */
async function readHolder(path: string): Promise<Holder | undefined> {
  const text = await readPrivateFile(path, HOLDER_LIMIT_BYTES).catch(() => undefined)
  const { pid, host, since, guard } = (text === undefined ? undefined : parseRecord(text)) ?? {}
  if (typeof pid !== 'number') return undefined
  return {
    pid,
    host: String(host),
    since: String(since),
    guard: typeof guard === 'string' ? guard : undefined,
  }
}

function lockPathOf(directory: string): string {
  return join(directory, 'lock')
}

function undefinedIfGone(error: unknown): undefined {
  if (codeOf(error) !== 'ENOENT') throw error
}
