// Whether the holder of a lock directory still lives, judged by looking twice: it touches the directory
// again and again. Our own timer counts, not the clock, which may jump and need not be the file server's.
import { lstat, rename, rm } from 'node:fs/promises'
import { codeOf, temporaryPath } from './durable.ts'

export class LockWatch {
  readonly #path: string
  #seen: string | undefined
  #sinceMs = performance.now()

  constructor(path: string) {
    this.#path = path
  }

  /** How long the lock has been seen as it is now, or seen to be missing. */
  async look(): Promise<LockSight> {
    const stats = await this.#stat(this.#path)
    const seen = stats === undefined ? undefined : `${stats.ino} ${stats.mtimeMs}`
    if (seen !== this.#seen) {
      this.#seen = seen
      this.#sinceMs = performance.now()
    }
    const ageMs = stats === undefined ? 0 : Date.now() - stats.mtimeMs
    return { stillMs: performance.now() - this.#sinceMs, ageMs }
  }

  /**
   * Removes the lock, if it is the one that was last looked at. It is moved away first: should another
   * process have put a new one there in this very moment, that is seen, and it is put back.
   */
  async remove(): Promise<void> {
    const aside = temporaryPath(this.#path)
    try {
      await rename(this.#path, aside)
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return
      throw error
    }
    const stats = await this.#stat(aside)
    const isTheOne = stats !== undefined && `${stats.ino} ${stats.mtimeMs}` === this.#seen
    if (isTheOne) await rm(aside, { recursive: true, force: true })
    else await rename(aside, this.#path).catch(() => {})
  }

  async #stat(path: string): Promise<{ readonly ino: number; readonly mtimeMs: number } | undefined> {
    try {
      return await lstat(path)
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return undefined
      throw error
    }
  }
}

export interface LockSight {
  readonly stillMs: number
  /** Since it was last touched, by the clock. */
  readonly ageMs: number
}
