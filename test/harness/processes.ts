// What the kernel says of processes: read from /proc, nothing else.
import { readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs'

interface ProcessStat {
  readonly pid: number
  readonly state: string
  readonly parentPid: number
  readonly groupId: number
  readonly sessionId: number
}

/** Living processes whose parent is `pid`. */
export function childrenOf(pid: number): number[] {
  return living()
    .filter((stat) => stat.parentPid === pid)
    .map((stat) => stat.pid)
}

/** Living processes of one process group. */
export function groupMembers(groupId: number): number[] {
  return living()
    .filter((stat) => stat.groupId === groupId)
    .map((stat) => stat.pid)
}

/** Living processes of one terminal session. */
export function sessionMembers(sessionId: number): number[] {
  return living()
    .filter((stat) => stat.sessionId === sessionId)
    .map((stat) => stat.pid)
}

export function isAlive(pid: number): boolean {
  const stat = readStat(pid)
  return stat !== undefined && stat.state !== 'Z'
}

/** proc(5): `R` running, `S` sleeping, `T` stopped, `Z` dead and not waited for; undefined when it is gone. */
export function stateOf(pid: number): string | undefined {
  return readStat(pid)?.state
}

/** The program a process runs; undefined when the process is gone. */
export function executableOf(pid: number): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/exe`)
  } catch {
    return undefined
  }
}

/** Arguments of a process, joined by spaces: for messages. */
export function commandLineOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim()
  } catch {
    return '(gone)'
  }
}

export interface Memory {
  readonly rssBytes: number
  /** The most that was resident since the process began, or since `resetPeakRss`. */
  readonly peakRssBytes: number
}

/** proc(5), clear_refs: 5 sets the peak to what is resident now. */
export function resetPeakRss(pid: number): void {
  writeFileSync(`/proc/${pid}/clear_refs`, '5')
}

export function memoryOf(pid: number): Memory {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  const bytesOf = (field: string): number => {
    const kibibytes = new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1]
    if (kibibytes === undefined) throw new Error(`/proc/${pid}/status has no ${field}`)
    return Number(kibibytes) * 1024
  }
  return { rssBytes: bytesOf('VmRSS'), peakRssBytes: bytesOf('VmHWM') }
}

export function openFilesOf(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length
}

function living(): ProcessStat[] {
  const stats: ProcessStat[] = []
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue
    const stat = readStat(Number(name))
    if (stat !== undefined && stat.state !== 'Z') stats.push(stat)
  }
  return stats
}

// proc(5): pid (comm) state ppid pgrp session ...; comm may itself contain spaces and brackets.
function readStat(pid: number): ProcessStat | undefined {
  let text
  try {
    text = readFileSync(`/proc/${pid}/stat`, 'utf8')
  } catch {
    return undefined
  }
  const [state = '', parentPid, groupId, sessionId] = text.slice(text.lastIndexOf(')') + 2).split(' ')
  return {
    pid,
    state,
    parentPid: Number(parentPid),
    groupId: Number(groupId),
    sessionId: Number(sessionId),
  }
}
