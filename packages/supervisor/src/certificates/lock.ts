// One process at a time works in a cache directory. Around proper-lockfile, which knows neither who
// holds a lock nor how to wait: a holder file says both who, and (by its token) whether it is still us.
//
// A process that stands still for longer than STALE_MS (SIGSTOP, suspend) loses the lock. It learns so
// through `signal` or at the next assertHeld, before it orders or writes anything. What remains: two
// processes that find the same dead lock at the same instant may both believe for a moment to hold it
// (proper-lockfile issue 121); the token then tells the earlier one that it is not the holder.
import { randomUUID } from 'node:crypto'
import { readFile, rm } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { ProxyError } from '@reverse-proxy/shared/errors'
import lockfile from 'proper-lockfile'
import { cacheError, codeOf, replaceFile } from './durable.ts'
import { parseRecord } from './json.ts'

export interface DirectoryLock {
  /** Aborted, with a ProxyError CACHE, when the lock has been lost. */
  readonly signal: AbortSignal
  /** Throws CACHE unless this process is still the holder. */
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

const STALE_MS = 10_000
const UPDATE_MS = 2_500
const POLL_MS = 250
/** SPEC 5, issue of N supervisors: after this a waiter gives up. */
const WAIT_LIMIT_MS = 10 * 60_000

interface Holder {
  readonly token: string
  readonly pid: number
  readonly host: string
  readonly since: string
}

/** Throws CACHE when the directory cannot be locked, or the holder outlasts the limit. */
export async function lockDirectory(directory: string, options: LockOptions): Promise<DirectoryLock> {
  const { signal, onWaiting, waitLimitMs = WAIT_LIMIT_MS } = options
  const holderPath = join(directory, 'lock-holder.json')
  const lost = new AbortController()
  let released = false
  // Called once more by proper-lockfile, in vain, when its timer runs into our release.
  const onCompromised = (cause: Error): void => {
    if (!released) lost.abort(lostError(directory, cause))
  }

  const giveUpMs = performance.now() + waitLimitMs
  let waited = false
  let unlock: (() => Promise<void>) | undefined
  while (unlock === undefined) {
    signal.throwIfAborted()
    try {
      unlock = await lockfile.lock(directory, {
        lockfilePath: join(directory, 'lock'),
        stale: STALE_MS,
        update: UPDATE_MS,
        onCompromised,
      })
    } catch (error) {
      if (codeOf(error) !== 'ELOCKED') throw cacheError(directory, error)
      const holder = describe(await readHolder(holderPath))
      if (performance.now() > giveUpMs) {
        throw new ProxyError('CACHE', `${directory} is held by ${holder}`, {
          cause: error,
          hint: 'every listener and every supervisor needs a cache directory of its own, unless they are to share it',
        })
      }
      if (!waited) onWaiting(holder)
      waited = true
      // Uneven, so that several waiters do not knock at the same instant.
      await sleep(POLL_MS * (0.5 + Math.random()), undefined, { signal }).catch(() => {})
    }
  }

  const token = randomUUID()
  const holder: Holder = { token, pid: process.pid, host: hostname(), since: new Date().toISOString() }
  const release = async (): Promise<void> => {
    if (released) return
    released = true
    // Ours to remove only while it names us.
    if ((await readHolder(holderPath))?.token === token) await rm(holderPath, { force: true }).catch(() => {})
    if (!lost.signal.aborted) await unlock().catch(() => {})
  }
  try {
    await replaceFile(holderPath, `${JSON.stringify(holder)}\n`)
  } catch (error) {
    await release()
    throw cacheError(directory, error)
  }
  return {
    signal: lost.signal,
    release,
    assertHeld: async () => {
      lost.signal.throwIfAborted()
      const found = await readHolder(holderPath)
      if (found?.token !== token) lost.abort(lostError(directory, undefined))
      lost.signal.throwIfAborted()
    },
  }
}

async function readHolder(path: string): Promise<Holder | undefined> {
  const holder = parseRecord(await readFile(path, 'utf8').catch(() => ''))
  if (holder === undefined) return undefined
  const { token, pid, host, since } = holder
  if (typeof token !== 'string' || typeof pid !== 'number') return undefined
  return { token, pid, host: String(host), since: String(since) }
}

function describe(holder: Holder | undefined): string {
  if (holder === undefined) return 'another process'
  const where = holder.host === hostname() ? '' : ` on ${holder.host}`
  return `process ${holder.pid}${where}, since ${holder.since}`
}

function lostError(directory: string, cause: unknown): ProxyError {
  return new ProxyError('CACHE', `the lock on ${directory} was lost to another process`, {
    cause,
    hint: 'this process stood still for too long, or somebody removed the lock; it tries again by itself',
  })
}
