// One process at a time works in a cache directory. Around proper-lockfile, which makes the lock and keeps
// it fresh, but cannot wait, says nobody's name, and takes over stale locks in a race (its issue 121):
// - a host guard (host-lock.ts) outside the lock: on one host there is never a second holder, and what a
//   dead one left is taken over at once;
// - between hosts and containers, a lock is stale when it has not been touched for a while and somewhat
//   longer, at random, after a second look (stale-lock.ts);
// - what a holder has is a file of its own (lock-file.ts), looked for before each step that counts: wherever
//   one stands still and is overtaken, it cannot get at what the next holder has.
// A holder that stands still (SIGSTOP, suspend) keeps others of its host out for GUARD_PATIENCE_MS, those
// elsewhere for STALE_MS, and learns that it has lost through `signal` or at the next assertHeld.
// Remaining risk: a holder that stands still for that long directly after an assertHeld still takes the step that
// it was for, and a request to sign that was sent stays sent. Only the holder saves the result.
import { hostname } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { ProxyError } from '@reverse-proxy/shared/errors'
import { cacheError } from './atomic-file.ts'
import type { HostLock } from './host-lock.ts'
import { takeHostLock } from './host-lock.ts'
import { LOCK_UPDATE_MS, LockFile } from './lock-file.ts'
import type { Holder } from './lock-holder.ts'
import { describeHolder } from './lock-holder.ts'
import type { HeldLock, LockOptions } from './storage.ts'
import type { LockState } from './stale-lock.ts'
import { StaleLock } from './stale-lock.ts'

/** Another process has taken the lock away from this one. */
export class LockLostError extends ProxyError {
  constructor(directory: string, cause: unknown) {
    super('CACHE', `the lock on ${directory} was lost to another process`, {
      cause,
      hint: 'this process stood still for too long, or somebody removed the lock; it tries again by itself',
    })
  }
}

/** Four updates missed. */
const STALE_MS = 10_000
/** Wait before the second look at a lock that seems stale: a living holder touches it meanwhile. */
const SECOND_LOOK_MS = LOCK_UPDATE_MS + 500
/** Patience with a guard whose owner shows no life: any local process could have bound the name. */
const GUARD_PATIENCE_MS = 60_000
const POLL_MS = 250
/** After this a waiter gives up. */
export const LOCK_WAIT_LIMIT_MS = 10 * 60_000
/** In a row, by somebody who is stopped again and again. */
const LOSSES_TOLERATED = 3

/** Throws CACHE when the directory cannot be locked, or the holder outlasts the limit. */
export async function lockDirectory(directory: string, options: LockOptions): Promise<HeldLock> {
  const claim = new Claim(directory)
  try {
    await claim.win(options)
    return claim
  } catch (error) {
    await claim.release()
    if (error instanceof ProxyError || options.signal.aborted) throw error
    throw cacheError(directory, error)
  }
}

/** Runs `work`; once more when that has lost the lock: it then waits for the winner, and finds what that has left. */
export async function againIfLost<Result>(work: () => Promise<Result>): Promise<Result> {
  for (let losses = 0; ; losses++) {
    try {
      return await work()
    } catch (error) {
      if (!(error instanceof LockLostError) || losses === LOSSES_TOLERATED) throw error
    }
  }
}

/** One process's way to a lock, and what it then has of it. */
class Claim implements HeldLock {
  readonly #directory: string
  readonly #lock: LockFile
  readonly #stale: StaleLock
  readonly #lost = new AbortController()
  /** Added to how long a lock must have been untouched: two that found it together do not act together. */
  readonly #hesitationMs = Math.random() * LOCK_UPDATE_MS
  #guard: HostLock | undefined
  /** Its owner has been found to be none of us, or to stand still. */
  #goesWithoutGuard = false
  /** The holder at the last look. */
  #holder: Holder | undefined
  #isReleased = false

  constructor(directory: string) {
    this.#directory = directory
    const path = join(directory, 'lock')
    this.#lock = new LockFile(directory, path)
    this.#stale = new StaleLock(path)
    this.#lock.lost.addEventListener('abort', () => this.#lose(this.#lock.lost.reason))
  }

  get signal(): AbortSignal {
    return this.#lost.signal
  }

  async win({ signal, onWaiting, waitLimitMs = LOCK_WAIT_LIMIT_MS }: LockOptions): Promise<void> {
    signal.throwIfAborted()
    const giveUpMs = performance.now() + waitLimitMs
    for (let waited = false; !(await this.#tryOnce()); waited = true) {
      const holder = describeHolder(this.#holder)
      if (performance.now() > giveUpMs) {
        throw new ProxyError('CACHE', `${this.#directory} is held by ${holder}`, {
          hint: 'every listener and every supervisor needs a cache directory of its own, unless they are to share it',
        })
      }
      if (!waited) onWaiting(holder)
      // Uneven, so that several waiters do not knock at the same instant.
      await sleep(POLL_MS * (0.5 + Math.random()), undefined, { signal }).catch(() => {})
      signal.throwIfAborted()
      this.signal.throwIfAborted()
    }
  }

  async assertHeld(): Promise<void> {
    this.signal.throwIfAborted()
    if (!(await this.#lock.isOurs())) this.#lose(undefined)
    this.signal.throwIfAborted()
  }

  async release(): Promise<void> {
    if (this.#isReleased) return
    this.#isReleased = true
    await this.#lock.release()
    await this.#guard?.release()
  }

  #lose(cause: unknown): void {
    this.#lost.abort(new LockLostError(this.#directory, cause))
  }

  async #tryOnce(): Promise<boolean> {
    const sight = await this.#stale.look()
    this.#holder = sight.holders.find((holder) => holder !== undefined)
    this.#goesWithoutGuard ||= sight.stillMs >= GUARD_PATIENCE_MS + this.#hesitationMs
    if (!(await this.#tryGuard()) && !this.#goesWithoutGuard) return false
    if (await this.#lock.make(this.#describe())) return true
    if (!this.#isDead(sight)) return false
    await this.#stale.remove()
    return await this.#lock.make(this.#describe())
  }

  /** False while another process of this host has the guard. */
  async #tryGuard(): Promise<boolean> {
    if (this.#guard !== undefined) return true
    const guard = await takeHostLock(this.#directory)
    if (guard === 'busy') return false
    this.#guard = guard
    return true
  }

  #isDead({ holders, stillMs, ageMs }: LockState): boolean {
    // While we hold the guard, no other process of this host can be at work.
    const guard = this.#guard?.name
    if (guard !== undefined && holders.length > 0 && holders.every((holder) => holder?.guard === guard)) {
      return true
    }
    const isSuspect = holders.every((holder) => holder === undefined) || ageMs > STALE_MS
    return stillMs >= (isSuspect ? SECOND_LOOK_MS : STALE_MS) + this.#hesitationMs
  }

  #describe(): Holder {
    const since = new Date().toISOString()
    return { pid: process.pid, host: hostname(), since, guard: this.#guard?.name }
  }
}
