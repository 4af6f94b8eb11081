// One process at a time works in a directory. Two locks make that sure:
// - the host lock (host-lock.ts): on one host there is never a second holder, and the lock of a dead one is taken over
//   at once;
// - the lock file (lock-file.ts), for other hosts and containers: it is stale when nobody has touched it for a while,
//   as this process has seen it, whatever the clocks say.
// A holder that stands still (SIGSTOP, suspend) keeps others of its host out for GUARD_LIMIT_MS, those elsewhere for
// STALE_MS, and learns that it has lost the lock through `signal` or at the next assertHeld. Remaining risk: if it
// stands still directly after assertHeld, it still takes the step that it asked for. Only the holder saves the result.
import { hostname } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { ProxyError } from '@reverse-proxy/shared/errors'
import { cacheError } from './atomic-file.ts'
import type { HostLock } from './host-lock.ts'
import { takeHostLock } from './host-lock.ts'
import type { LockState } from './lock-file.ts'
import { describeHolder, LOCK_UPDATE_MS, LockFile, readLock, removeLock } from './lock-file.ts'
import type { HeldLock, LockOptions } from './storage.ts'
import { LockLostError } from './storage.ts'

/** Four updates missed. */
const STALE_MS = 10_000
/** For a lock that seems stale by the clock, or names nobody: a living holder touches it within this. */
const SECOND_LOOK_MS = LOCK_UPDATE_MS + 500
/** For a host lock whose owner touches no lock file: any local process could have bound the name. */
const GUARD_LIMIT_MS = 60_000
const POLL_MS = 250
const LOCK_WAIT_LIMIT_MS = 10 * 60_000

/** Throws CACHE when the directory cannot be locked, or the holder outlasts the limit. */
export async function lockDirectory(directory: string, options: LockOptions): Promise<HeldLock> {
  const attempt = new LockAttempt(directory)
  try {
    await attempt.acquire(options)
    return attempt
  } catch (error) {
    await attempt.release()
    if (error instanceof ProxyError || options.signal.aborted) throw error
    throw cacheError(directory, error)
  }
}

class LockAttempt implements HeldLock {
  readonly #directory: string
  readonly #file: LockFile
  readonly #lost = new AbortController()
  /** Added to each limit, so that two waiters do not take over at the same instant. */
  readonly #hesitationMs = Math.random() * LOCK_UPDATE_MS
  #guard: HostLock | undefined
  /** The owner of the host lock is no process of ours, or stands still. */
  #ignoresGuard = false
  #seen: LockState = { identity: '', holders: [], touchedMs: Infinity }
  /** By our own timer, since when the lock has been as it was last seen. */
  #unchangedSinceMs = performance.now()
  #isReleased = false

  constructor(directory: string) {
    this.#directory = directory
    this.#file = new LockFile(directory)
    this.#file.lost.addEventListener('abort', () => this.#lose(this.#file.lost.reason))
  }

  get signal(): AbortSignal {
    return this.#lost.signal
  }

  async acquire({ signal, onWaiting, waitLimitMs = LOCK_WAIT_LIMIT_MS }: LockOptions): Promise<void> {
    signal.throwIfAborted()
    const giveUpMs = performance.now() + waitLimitMs
    for (let waited = false; !(await this.#tryOnce()); waited = true) {
      const holder = describeHolder(this.#seen.holders.find((one) => one !== undefined))
      if (performance.now() > giveUpMs) {
        throw new ProxyError('CACHE', `${this.#directory} is held by ${holder}`, {
          hint: 'every listener and every supervisor needs a cache directory of its own, unless they are to share it',
        })
      }
      if (!waited) onWaiting(holder)
      // Uneven, so that several waiters do not try at the same instant.
      await sleep(POLL_MS * (0.5 + Math.random()), undefined, { signal }).catch(() => {})
      signal.throwIfAborted()
      this.signal.throwIfAborted()
    }
  }

  async assertHeld(): Promise<void> {
    this.signal.throwIfAborted()
    if (!(await this.#file.isOurs())) this.#lose(undefined)
    this.signal.throwIfAborted()
  }

  async release(): Promise<void> {
    if (this.#isReleased) return
    this.#isReleased = true
    await this.#file.release()
    await this.#guard?.release()
  }

  #lose(cause: unknown): void {
    this.#lost.abort(new LockLostError(this.#directory, cause))
  }

  async #tryOnce(): Promise<boolean> {
    const state = await readLock(this.#directory)
    if (state.identity !== this.#seen.identity) this.#unchangedSinceMs = performance.now()
    this.#seen = state
    const unchangedMs = performance.now() - this.#unchangedSinceMs - this.#hesitationMs
    this.#ignoresGuard ||= unchangedMs >= GUARD_LIMIT_MS
    if (!(await this.#tryGuard()) && !this.#ignoresGuard) return false
    if (await this.#make()) return true
    if (!this.#isDead(state, unchangedMs)) return false
    await removeLock(this.#directory, state)
    return await this.#make()
  }

  /** False while another process of this host has the host lock. */
  async #tryGuard(): Promise<boolean> {
    if (this.#guard !== undefined) return true
    const guard = await takeHostLock(this.#directory)
    if (guard === 'busy') return false
    this.#guard = guard
    return true
  }

  #isDead({ holders, touchedMs }: LockState, unchangedMs: number): boolean {
    // While we hold the host lock, no other process of this host can be at work.
    const guard = this.#guard?.name
    if (guard !== undefined && holders.length > 0 && holders.every((one) => one?.guard === guard)) return true
    const isSuspect = holders.every((one) => one === undefined) || Date.now() - touchedMs > STALE_MS
    return unchangedMs >= (isSuspect ? SECOND_LOOK_MS : STALE_MS)
  }

  async #make(): Promise<boolean> {
    const since = new Date().toISOString()
    return await this.#file.make({ pid: process.pid, host: hostname(), since, guard: this.#guard?.name })
  }
}
