// CPU time and memory of a program with everything it has forked, as the kernel accounts for it: what it costs,
// whatever else the machine is doing.
import { readdirSync, readFileSync } from 'node:fs'

/** proc(5): utime and stime are in ticks of sysconf(_SC_CLK_TCK), which is 100 on Linux. */
const TICK_US = 10_000

interface Process {
  readonly pid: number
  readonly parentPid: number
  /** Its own, and that of children it has waited for. */
  readonly cpuUs: number
}

/** Of `rootPid` and all its living descendants, since each began (us). Dead ones count once they are waited for. */
export function treeCpuUs(rootPid: number): number {
  return tree(rootPid).reduce((sum, { cpuUs }) => sum + cpuUs, 0)
}

/** Proportional set size: what it would give back (bytes); pages shared among its processes count once. */
export function treePssBytes(rootPid: number): number {
  return tree(rootPid).reduce((sum, { pid }) => sum + pssBytes(pid), 0)
}

function tree(rootPid: number): Process[] {
  const all = readdirSync('/proc')
    .filter((name) => /^\d+$/u.test(name))
    .flatMap((name) => readProcess(Number(name)))
  const found = all.filter(({ pid }) => pid === rootPid)
  for (const parent of found) found.push(...all.filter(({ parentPid }) => parentPid === parent.pid))
  return found
}

function readProcess(pid: number): Process[] {
  let text: string
  try {
    text = readFileSync(`/proc/${pid}/stat`, 'utf8')
  } catch {
    return []
  }
  // pid (comm) state ppid ... utime stime cutime cstime: fields 14 to 17.
  const fields = text
    .slice(text.lastIndexOf(')') + 2)
    .split(' ')
    .map(Number)
  const ticks = fields.slice(11, 15).reduce((sum, value) => sum + value, 0)
  return [{ pid, parentPid: fields[1] ?? 0, cpuUs: ticks * TICK_US }]
}

function pssBytes(pid: number): number {
  try {
    const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8')
    return Number(/^Pss:\s+(\d+) kB$/mu.exec(text)?.[1] ?? 0) * 1024
  } catch {
    return 0
  }
}
