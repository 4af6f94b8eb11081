// Judges a lock that exists: whether its holder lives, and how to take it from a dead one. It looks twice, because a
// living holder touches its file regularly. Our own timer
// counts, not the clock, which may jump and need not be the file server's.
import type { Stats } from 'node:fs'
import { lstat, readdir, rm, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { codeOf } from '@reverse-proxy/shared/error-text'
import { removeIfEmpty } from './lock-file.ts'
import type { Holder } from './lock-holder.ts'
import { readHolder } from './lock-holder.ts'

export interface LockState {
  /** Whom each file in it names: one of a living holder, and what those left who were overtaken and died. */
  readonly holders: readonly (Holder | undefined)[]
  /** How long it has been seen as it is now, or seen to be missing. */
  readonly stillMs: number
  /** Since it was last touched, by the clock. */
  readonly ageMs: number
}

/** The state of a lock, down to the times of each file; equal if nothing has changed. */
interface Found {
  readonly identity: string
  readonly isDirectory: boolean
  readonly names: readonly string[]
  readonly touchedMs: number
}

const NOTHING: Found = { identity: '', isDirectory: false, names: [], touchedMs: Infinity }

export class StaleLock {
  readonly path: string
  #found = NOTHING
  #sinceMs = performance.now()

  constructor(path: string) {
    this.path = path
  }

  async look(): Promise<LockState> {
    const found = await this.#find()
    if (found.identity !== this.#found.identity) this.#sinceMs = performance.now()
    this.#found = found
    const holders = await Promise.all(
      found.names.map(async (name) => await readHolder(join(this.path, name))),
    )
    return { holders, stillMs: performance.now() - this.#sinceMs, ageMs: Date.now() - found.touchedMs }
  }

  /** Removes what was last looked at, by name, unless it has changed since: never what came after it. */
  async remove(): Promise<void> {
    const { identity, isDirectory, names } = this.#found
    if ((await this.#find()).identity !== identity) return
    if (isDirectory) {
      for (const name of names) await rm(join(this.path, name), { recursive: true, force: true })
      await removeIfEmpty(this.path)
    } else {
      await unlink(this.path).catch((error: unknown) => {
        // It is gone, or a lock has come in its place, which this does not remove.
        if (!['ENOENT', 'EISDIR', 'EPERM'].includes(codeOf(error) ?? '')) throw error
      })
    }
  }

  async #find(): Promise<Found> {
    const lock = await statOf(this.path)
    if (lock === undefined) return NOTHING
    const isDirectory = lock.isDirectory()
    const names = isDirectory ? await readdir(this.path).catch(() => []) : []
    const stats = await Promise.all(names.map(async (name) => await statOf(join(this.path, name))))
    const all = [lock, ...stats.filter((one) => one !== undefined)]
    return {
      identity: [...all.map(({ ino, mtimeMs }) => `${ino} ${mtimeMs}`), ...names].join(' '),
      isDirectory,
      names,
      touchedMs: Math.max(...(all.length > 1 ? all.slice(1) : all).map(({ mtimeMs }) => mtimeMs)),
    }
  }
}

async function statOf(path: string): Promise<Stats | undefined> {
  try {
    return await lstat(path)
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined
    throw error
  }
}
