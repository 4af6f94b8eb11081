// The holder of a cache directory as the file in its lock names it.
import { hostname } from 'node:os'
import { parseRecord } from '@reverse-proxy/shared/json'
import { readPrivateFile } from './private-file.ts'

export interface Holder {
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
  const { pid, host, since, guard } = holder
  if (typeof pid !== 'number') return undefined
  return {
    pid,
    host: String(host),
    since: String(since),
    guard: typeof guard === 'string' ? guard : undefined,
  }
}

/** `process 123 on a.example, since 2026-01-02T03:04:05.678Z` */
export function describeHolder(holder: Holder | undefined): string {
  if (holder === undefined) return 'another process'
  const where = holder.host === hostname() ? '' : ` on ${holder.host}`
  return `process ${holder.pid}${where}, since ${holder.since}`
}
