// One process at a time works in a cache directory. Around proper-lockfile, which makes the lock and keeps
// it fresh, but cannot wait, says nobody's name, and takes over stale locks in a race (its issue 121):
// - a host guard (host-guard.ts) outside the lock: on one host there is never a second holder, nor a race
//   for what a dead one left, and that is taken over at once;
// - between hosts and containers, a lock is stale when two looks have found it untouched (stale-lock.ts);
// - a holder file says who, and by its token whether that is still us: it is removed before a lock is taken
//   over, and read again before anything that counts.
// A holder that stands still (SIGSTOP, suspend) keeps others of its host out for GUARD_PATIENCE_MS, those
// elsewhere for STALE_MS, and learns that it has lost through `signal` or at the next assertHeld.
// What remains: a holder that stands still for that long between an assertHeld and the step it was for
// still takes that one step; and two hosts that find the same dead lock within the same few microseconds.
import { randomUUID } from 'node:crypto'
import { rm } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { ProxyError } from '@reverse-proxy/shared/errors'
import lockfile from 'proper-lockfile'
import { cacheError, codeOf, replaceFile } from './durable.ts'
import type { HostGuard } from './host-guard.ts'
import { takeHostGuard } from './host-guard.ts'
import type { Holder } from './lock-holder.ts'
import { describeHolder, readHolder } from './lock-holder.ts'
import type { LockSight } from './stale-lock.ts'
import { LockWatch } from './stale-lock.ts'

export interface DirectoryLock {
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

/** Another process has taken the lock away from this one. */
class LockLostError extends ProxyError {
  constructor(directory: string, cause: unknown) {
    super('CACHE', `the lock on ${directory} was lost to another process`, {
      cause,
      hint: 'this process stood still for too long, or somebody removed the lock; it tries again by itself',
    })
  }
}

const UPDATE_MS = 2_500
/** Four updates missed. */
const STALE_MS = 10_000
/** Between two looks at a lock that the clock calls stale: a living holder touches it meanwhile. */
const SECOND_LOOK_MS = UPDATE_MS + 500
/** Before what a dead process of this host left is taken over: one elsewhere may just be writing its name. */
const SETTLING_MS = 100
/** Of a guard whose owner shows no life, and need not be one of us: any local process can bind the name. */
const GUARD_PATIENCE_MS = 60_000
const POLL_MS = 250
/** After this a waiter gives up. */
export const LOCK_WAIT_LIMIT_MS = 10 * 60_000

/** Throws CACHE when the directory cannot be locked, or the holder outlasts the limit. */
export async function lockDirectory(directory: string, options: LockOptions): Promise<DirectoryLock> {
  const claim = new Claim(directory)
  try {
    return await claim.win(options)
  } catch (error) {
    await claim.abandon()
    if (error instanceof ProxyError || options.signal.aborted) throw error
    throw cacheError(directory, error)
  }
}

/** In a row, by somebody who is stopped again and again. */
const LOSSES_TOLERATED = 3

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

/** One process's way to a lock, and what it has to give back. */
class Claim {
  readonly #directory: string
  readonly #lockPath: string
  readonly #holderPath: string
  readonly #watch: LockWatch
  readonly #token = randomUUID()
  readonly #lost = new AbortController()
  /** Added to how long a lock must have been untouched: two that found it together do not act together. */
  readonly #hesitationMs = Math.random() * UPDATE_MS
  #guard: HostGuard | undefined
  #unlock: (() => Promise<void>) | undefined
  #isReleased = false

  constructor(directory: string) {
    this.#directory = directory
    this.#lockPath = join(directory, 'lock')
    this.#holderPath = join(directory, 'lock-holder.json')
    this.#watch = new LockWatch(this.#lockPath)
  }

  async win({ signal, onWaiting, waitLimitMs = LOCK_WAIT_LIMIT_MS }: LockOptions): Promise<DirectoryLock> {
    signal.throwIfAborted()
    const giveUpMs = performance.now() + waitLimitMs
    for (let waited = false; !(await this.#tryOnce()); waited = true) {
      const holder = describeHolder(await readHolder(this.#holderPath))
      if (performance.now() > giveUpMs) {
        throw new ProxyError('CACHE', `${this.#directory} is held by ${holder}`, {
          hint: 'every listener and every supervisor needs a cache directory of its own, unless they are to share it',
        })
      }
      if (!waited) onWaiting(holder)
      // Uneven, so that several waiters do not knock at the same instant.
      await sleep(POLL_MS * (0.5 + Math.random()), undefined, { signal }).catch(() => {})
      signal.throwIfAborted()
    }
    await this.#writeHolder()
    return {
      signal: this.#lost.signal,
      assertHeld: async () => await this.#assertHeld(),
      release: async () => await this.#release(),
    }
  }

  /** Gives back whatever was had of the lock. */
  async abandon(): Promise<void> {
    await this.#unlock?.().catch(() => {})
    await this.#guard?.release()
  }

  async #tryOnce(): Promise<boolean> {
    let isFree = true
    if (this.#guard === undefined) {
      const guard = await takeHostGuard(this.#directory)
      if (guard === 'busy') isFree = false
      else this.#guard = guard
    }
    const sight = await this.#watch.look()
    if (!isFree && sight.stillMs < GUARD_PATIENCE_MS + this.#hesitationMs) return false
    if (await this.#makeLock()) return true
    if (!(await this.#isDead(sight))) return false
    // First of all: whatever becomes of the lock, its holder must find out before its next step.
    await rm(this.#holderPath, { recursive: true, force: true })
    await this.#watch.remove()
    return await this.#makeLock()
  }

  async #makeLock(): Promise<boolean> {
    try {
      this.#unlock = await lockfile.lock(this.#directory, {
        lockfilePath: this.#lockPath,
        // Who is dead is decided here, not there.
        stale: Infinity,
        update: UPDATE_MS,
        // Called once more, in vain, when its timer runs into our release.
        onCompromised: (cause) => {
          if (!this.#isReleased) this.#lost.abort(new LockLostError(this.#directory, cause))
        },
      })
      return true
    } catch (error) {
      if (codeOf(error) === 'ELOCKED') return false
      throw error
    }
  }

  async #isDead({ stillMs, ageMs }: LockSight): Promise<boolean> {
    const holder = await readHolder(this.#holderPath)
    // Nobody else on this host can be at work while the guard is ours.
    if (holder?.guard !== undefined && holder.guard === this.#guard?.name) return stillMs >= SETTLING_MS
    return stillMs >= (ageMs > STALE_MS ? SECOND_LOOK_MS : STALE_MS) + this.#hesitationMs
  }

  async #writeHolder(): Promise<void> {
    const holder: Holder = {
      token: this.#token,
      pid: process.pid,
      host: hostname(),
      since: new Date().toISOString(),
      guard: this.#guard?.name,
    }
    // Whatever names nobody is no holder file; a directory would stand in the way of one.
    if ((await readHolder(this.#holderPath)) === undefined) {
      await rm(this.#holderPath, { recursive: true, force: true })
    }
    await replaceFile(this.#holderPath, `${JSON.stringify(holder)}\n`)
  }

  async #assertHeld(): Promise<void> {
    const holder = await readHolder(this.#holderPath)
    if (holder?.token !== this.#token) this.#lost.abort(new LockLostError(this.#directory, undefined))
    this.#lost.signal.throwIfAborted()
  }

  async #release(): Promise<void> {
    if (this.#isReleased) return
    this.#isReleased = true
    const holder = await readHolder(this.#holderPath)
    // What names another is not ours to remove; the lock's own timer finds that out, and stops.
    if (!this.#lost.signal.aborted && (holder === undefined || holder.token === this.#token)) {
      await rm(this.#holderPath, { force: true }).catch(() => {})
      await this.#unlock?.().catch(() => {})
    }
    await this.#guard?.release()
  }
}
