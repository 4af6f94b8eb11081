// Whether the holder of a lock directory still lives, judged by looking twice: it touches the directory
// again and again. Our own timer counts, not the clock, which may jump and need not be the file server's.
import { lstat, mkdir, rm, rmdir } from 'node:fs/promises'
import { codeOf } from '../error-text.ts'

export interface LockSight {
  /** How long it has been seen as it is now, or seen to be missing. */
  readonly stillMs: number
  /** Since it was last touched, by the clock. */
  readonly ageMs: number
}

class LockWatch {
  readonly path: string
  #seen: string | undefined
  #sinceMs = performance.now()

  constructor(path: string) {
    this.path = path
  }

  async look(): Promise<LockSight> {
    const { identity, mtimeMs } = await this.#identify()
    if (identity !== this.#seen) {
      this.#seen = identity
      this.#sinceMs = performance.now()
    }
    return { stillMs: performance.now() - this.#sinceMs, ageMs: Date.now() - mtimeMs }
  }

  /** It is the one that was last looked at, and has not been touched since. */
  async isUnchanged(): Promise<boolean> {
    return (await this.#identify()).identity === this.#seen
  }

  async #identify(): Promise<{ readonly identity: string | undefined; readonly mtimeMs: number }> {
    try {
      const { ino, mtimeMs } = await lstat(this.path)
      return { identity: `${ino} ${mtimeMs}`, mtimeMs }
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return { identity: undefined, mtimeMs: Date.now() }
      throw error
    }
  }
}

/** Of a taker-over, whose work takes no time. */
const RIVAL_PATIENCE_MS = 10_000

/** A lock, and how it is taken from the dead. */
export class StaleLock {
  readonly #lock: LockWatch
  /** Made by whoever removes the lock: were there two, the second could remove what the first then makes. */
  readonly #rival: LockWatch

  constructor(path: string) {
    this.#lock = new LockWatch(path)
    this.#rival = new LockWatch(`${path}-takeover`)
  }

  async look(): Promise<LockSight> {
    return await this.#lock.look()
  }

  /** Removes the lock that was last looked at, if that is still there and nobody else is about to remove it. */
  async remove(): Promise<void> {
    try {
      await mkdir(this.#rival.path, { mode: 0o700 })
    } catch (error) {
      if (codeOf(error) !== 'EEXIST') throw error
      const { stillMs } = await this.#rival.look()
      if (stillMs > RIVAL_PATIENCE_MS) await rm(this.#rival.path, { recursive: true, force: true })
      return
    }
    try {
      if (await this.#lock.isUnchanged()) await rm(this.#lock.path, { recursive: true, force: true })
    } finally {
      await rmdir(this.#rival.path)
    }
  }
}
