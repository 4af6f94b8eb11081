// The lock itself, as proper-lockfile makes it and keeps it fresh, with what that cannot say: whether the
// directory that lies there now is still the one we made. It is touched with times that only we know.
import fs from 'node:fs'
import { lstat } from 'node:fs/promises'
import lockfile from 'proper-lockfile'
import { codeOf } from '../error-text.ts'

/** How often a living holder touches its lock. */
export const LOCK_UPDATE_MS = 2_500

export class LockFile {
  readonly path: string
  readonly #directory: string
  /** Aborted when the lock is found to be gone, or another's. */
  readonly #lost = new AbortController()
  /** The last times we gave it, in ms: the file system may still be at the one before. */
  #touchedMs: readonly number[] = []
  #unlock: (() => Promise<void>) | undefined
  #isReleased = false

  constructor(directory: string, path: string) {
    this.#directory = directory
    this.path = path
  }

  /** Aborted, with proper-lockfile's error, when the lock is found to be gone, or another's. */
  get lost(): AbortSignal {
    return this.#lost.signal
  }

  get isMade(): boolean {
    return this.#unlock !== undefined
  }

  /** False if there is one already, dead or alive. */
  async make(): Promise<boolean> {
    try {
      this.#unlock = await lockfile.lock(this.#directory, {
        lockfilePath: this.path,
        // Who is dead is decided by stale-lock.ts, without a race.
        stale: Infinity,
        update: LOCK_UPDATE_MS,
        fs: { ...fs, mkdir: makePrivately, utimes: this.#touch.bind(this) },
        // Called once more, in vain, when its timer runs into our release.
        onCompromised: (cause) => {
          if (!this.#isReleased) this.#lost.abort(cause)
        },
      })
      return true
    } catch (error) {
      // It has been taken over and given back, all while this process stood still in making it.
      if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ELOCKED') return false
      throw error
    }
  }

  async isOurs(): Promise<boolean> {
    if (this.#lost.signal.aborted) return false
    const stats = await lstat(this.path).catch(() => undefined)
    return stats !== undefined && this.#touchedMs.includes(stats.mtime.getTime())
  }

  /** Removes it if it is ours. One that is another's stays, and proper-lockfile's timer finds that out, and stops. Never throws. */
  async release(): Promise<void> {
    const isOurs = await this.isOurs()
    this.#isReleased = true
    if (isOurs) await this.#unlock?.().catch(() => {})
  }

  #touch(path: string, accessed: Date, modified: Date, callback: (error: Error | null) => void): void {
    this.#touchedMs = [modified.getTime(), ...this.#touchedMs.slice(0, 1)]
    fs.utimes(path, accessed, modified, callback)
  }
}

function makePrivately(path: string, callback: (error: Error | null) => void): void {
  fs.mkdir(path, 0o700, callback)
}
