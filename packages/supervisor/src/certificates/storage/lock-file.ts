// The lock itself: a directory that proper-lockfile makes, and in it one file, which says who made it, is
// kept fresh, and is held by being there. No two files ever have the same name. So a process that stood
// still anywhere in here, and has been overtaken, finds its own file gone or itself not alone, and can
// neither touch nor remove what is another's: the directory goes only when it is empty.
import { randomUUID } from 'node:crypto'
import fs from 'node:fs'
import { lstat, mkdir, readdir, rm, rmdir } from 'node:fs/promises'
import { join } from 'node:path'
import { callbackify } from 'node:util'
import lockfile from 'proper-lockfile'
import { codeOf } from '@reverse-proxy/shared/error-text'
import { createFile } from './atomic-file.ts'
import type { Holder } from './lock-holder.ts'

/** How often a living holder touches its file. */
export const LOCK_UPDATE_MS = 2_500

export class LockFile {
  readonly #directory: string
  readonly #path: string
  /** Aborted when our file is found to be gone. */
  readonly #lost = new AbortController()
  /** Our file, once the lock has been made. */
  #file: string | undefined
  #unlock: (() => Promise<void>) | undefined
  #isReleased = false

  constructor(directory: string, path: string) {
    this.#directory = directory
    this.#path = path
  }

  /** Aborted, with proper-lockfile's error, when our file is found to be gone. */
  get lost(): AbortSignal {
    return this.#lost.signal
  }

  /** False if there is one already, dead or alive. */
  async make(holder: Holder): Promise<boolean> {
    const file = join(this.#path, `${randomUUID()}.json`)
    try {
      this.#unlock = await lockfile.lock(this.#directory, {
        lockfilePath: this.#path,
        // stale-lock.ts decides whether the holder is dead, without a race.
        stale: Infinity,
        update: LOCK_UPDATE_MS,
        fs: {
          ...fs,
          mkdir: callbackify(async (_path: string) => await this.#enter(file, holder)),
          stat: callbackify(async (_path: string) => await lstat(file)),
          utimes: (_path: string, accessed: Date, modified: Date, done: fs.NoParamCallback) =>
            fs.utimes(file, accessed, modified, done),
          rmdir: callbackify(async (_path: string) => await this.#leave(file)),
          rmdirSync: () => leaveSync(this.#path, file),
        },
        // Called once more, in vain, when its timer runs into our release.
        onCompromised: (cause) => {
          if (!this.#isReleased) this.#lost.abort(cause)
        },
      })
      this.#file = file
      return true
    } catch (error) {
      if (codeOf(error) === 'ELOCKED') return false
      if (codeOf(error) !== 'ENOENT') throw error
      // It has been removed, all while this process stood still in making it; unless what it is to lock is gone.
      await lstat(this.#directory)
      return false
    }
  }

  async isOurs(): Promise<boolean> {
    if (this.#lost.signal.aborted || this.#file === undefined) return false
    return await lstat(this.#file).then(
      () => true,
      () => false,
    )
  }

  /** Removes it if it is ours. One that is lost is left to proper-lockfile's timer, which finds that out, and stops. Never throws. */
  async release(): Promise<void> {
    const isOurs = await this.isOurs()
    this.#isReleased = true
    if (isOurs) await this.#unlock?.().catch(() => {})
  }

  /** Enters the lock directory. If two do so at once, at least one sees the other and leaves. */
  async #enter(file: string, holder: Holder): Promise<void> {
    try {
      await mkdir(this.#path, { mode: 0o700 })
    } catch (error) {
      throw codeOf(error) === 'EEXIST' ? lockedError(error) : error
    }
    try {
      await createFile(file, `${JSON.stringify(holder)}\n`)
      const names = await readdir(this.#path)
      if (names.length === 1 && file === join(this.#path, names[0] ?? '')) return
      throw lockedError(undefined)
    } catch (error) {
      await this.#leave(file).catch(() => {})
      throw error
    }
  }

  async #leave(file: string): Promise<void> {
    await rm(file, { force: true })
    await removeIfEmpty(this.#path)
  }
}

/** Leaves alone what is another's, or no directory. */
export async function removeIfEmpty(directory: string): Promise<void> {
  try {
    await rmdir(directory)
  } catch (error) {
    if (!['ENOENT', 'ENOTDIR', 'ENOTEMPTY', 'EEXIST'].includes(codeOf(error) ?? '')) throw error
  }
}

/** As proper-lockfile has it when there is a lock already. */
function lockedError(cause: unknown): Error {
  return Object.assign(new Error('there is another holder', { cause }), { code: 'ELOCKED' })
}

/** When the process ends by itself while it has the lock. */
function leaveSync(directory: string, file: string): void {
  fs.rmSync(file, { force: true })
  fs.rmdirSync(directory)
}
