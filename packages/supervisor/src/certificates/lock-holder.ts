// Who holds a cache directory, as its holder file says: for people, and for the holder itself, which finds
// by its token whether it still is. Of two that believe to have the lock, one alone can write the file.
import { rm } from 'node:fs/promises'
import { hostname } from 'node:os'
import { codeOf } from '../error-text.ts'
import { createFile } from './durable.ts'
import { parseRecord } from './json.ts'
import { readPrivateFile } from './private-file.ts'

export interface Holder {
  readonly token: string
  readonly pid: number
  readonly host: string
  readonly since: string
  /** Name of the host guard that it has; undefined if it has none. */
  readonly guard: string | undefined
}

const LIMIT_BYTES = 4096

/** Undefined if nobody is named, for whatever reason. */
export async function readHolder(path: string): Promise<Holder | undefined> {
  const text = await readPrivateFile(path, LIMIT_BYTES).catch(() => undefined)
  const holder = text === undefined ? undefined : parseRecord(text)
  if (holder === undefined) return undefined
  const { token, pid, host, since, guard } = holder
  if (typeof token !== 'string' || typeof pid !== 'number') return undefined
  return {
    token,
    pid,
    host: String(host),
    since: String(since),
    guard: typeof guard === 'string' ? guard : undefined,
  }
}

/**
 * Names `holder` in the place of `previous`, whom it has found dead before it made the lock; false if
 * somebody else is named: the lock has been taken over while this process stood still.
 */
export async function writeHolder(
  path: string,
  holder: Holder,
  previous: Holder | undefined,
): Promise<boolean> {
  const found = await readHolder(path)
  if (found !== undefined && found.token !== previous?.token) return false
  // Whatever names nobody is in the way as well.
  await rm(path, { recursive: true, force: true })
  try {
    await createFile(path, `${JSON.stringify(holder)}\n`)
    return true
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false
    throw error
  }
}

/** `process 123 on a.example, since 2026-01-02T03:04:05.678Z` */
export function describeHolder(holder: Holder | undefined): string {
  if (holder === undefined) return 'another process'
  const where = holder.host === hostname() ? '' : ` on ${holder.host}`
  return `process ${holder.pid}${where}, since ${holder.since}`
}
