// Counts the file system calls that a process makes below one directory, and springs at a chosen one:
// the process is killed or stopped there, or the call fails. To be imported before whatever is under test.
import type { FileHandle } from 'node:fs/promises'
import fs from 'node:fs'
import promises from 'node:fs/promises'
import { syncBuiltinESMExports } from 'node:module'

type TrapAction =
  /** SIGKILL or SIGSTOP to ourselves, before the call is made; `stop-after`: once its result is there. */
  | { readonly kind: 'kill' | 'stop' | 'stop-after' }
  /** The call fails; `lasting`: and every later one that would change something, as on a full disk. */
  | { readonly kind: 'fail'; readonly code: 'ENOSPC' | 'EIO' | 'EROFS'; readonly lasting: boolean }

export interface Trap {
  /** 1 is the first call after `setTrap`; 0 counts only. */
  readonly at: number
  readonly action: TrapAction
}

interface Call {
  readonly name: string
  readonly path: string
  readonly writes: boolean
}

type Callback = (error: Error | null, ...results: unknown[]) => void
type Promising = (path: string, ...rest: unknown[]) => Promise<unknown>
type Calling = (path: string, ...rest: unknown[]) => void

const PROMISING = [
  'lstat',
  'mkdir',
  'open',
  'readdir',
  'readFile',
  'readlink',
  'rename',
  'rm',
  'rmdir',
  'stat',
  'symlink',
  'unlink',
] as const
const ON_HANDLES = ['chmod', 'close', 'readFile', 'stat', 'sync', 'writeFile'] as const
const CALLING = ['mkdir', 'realpath', 'rmdir', 'stat', 'utimes'] as const
const WRITING: ReadonlySet<string> = new Set([
  'chmod',
  'mkdir',
  'rename',
  'rm',
  'rmdir',
  'symlink',
  'unlink',
  'utimes',
  'writeFile',
])

let root: string | undefined
let trap: Trap = { at: 0, action: { kind: 'kill' } }
let calls: string[] = []

/** Counts from 1 again, calls below `directory` only. */
export function setTrap(directory: string, next: Trap): void {
  root = directory
  trap = next
  calls = []
}

/** How many calls there have been since `setTrap`. */
export function countCalls(): number {
  return calls.length
}

/** Ends the counting; what was called since `setTrap`, in order. */
export function releaseTrap(): readonly string[] {
  root = undefined
  return calls
}

/** Returns the error that the call must fail with, if any. */
function step({ name, path, writes }: Call): Error | undefined {
  if (root === undefined || !path.startsWith(root)) return undefined
  calls.push(`${name} ${path.slice(root.length)}`)
  const { at, action } = trap
  const isHere = calls.length === at
  if (action.kind === 'fail') {
    const isAfter = at > 0 && calls.length > at && action.lasting && writes
    return isHere || isAfter ? failure(action.code, name, path) : undefined
  }
  if (isHere && action.kind !== 'stop-after') {
    process.kill(process.pid, action.kind === 'kill' ? 'SIGKILL' : 'SIGSTOP')
  }
  return undefined
}

/** `number` is that of a call which has been made; undefined of one that is not counted. */
function stepAfter(number: number | undefined): void {
  const isHere = root !== undefined && number === trap.at
  if (isHere && trap.action.kind === 'stop-after') process.kill(process.pid, 'SIGSTOP')
}

function failure(code: string, syscall: string, path: string): Error {
  return Object.assign(new Error(`${code}: injected, ${syscall} '${path}'`), { code, syscall, path })
}

/** The path that a call is about: of a symbolic link its own, not the one it points to. */
function subjectOf(name: string, path: string, rest: readonly unknown[]): string {
  return name === 'symlink' ? String(rest[0]) : path
}

function guardPromise(name: (typeof PROMISING)[number]): void {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- every one of them takes a path first
  const original = promises[name] as unknown as Promising
  const guarded: Promising = async (path, ...rest) => {
    const writes = name === 'open' ? opensToWrite(rest[0]) : WRITING.has(name)
    const before = calls.length
    const error = step({ name, path: subjectOf(name, path, rest), writes })
    if (error !== undefined) throw error
    const number = calls.length > before ? calls.length : undefined
    const result = await original(path, ...rest)
    stepAfter(number)
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- open gives nothing else
    return name === 'open' ? guardHandle(result as FileHandle, path, writes) : result
  }
  Object.assign(promises, { [name]: guarded })
}

/** How our program opens a file that it is going to write: any other way of its only reads. */
function opensToWrite(flags: unknown): boolean {
  return typeof flags === 'string' && flags.startsWith('w')
}

function guardHandle(file: FileHandle, path: string, isWritten: boolean): FileHandle {
  for (const name of ON_HANDLES) {
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the arguments are passed on as they come
    const original = file[name].bind(file) as unknown as (...args: readonly unknown[]) => Promise<unknown>
    const guarded = async (...args: readonly unknown[]): Promise<unknown> => {
      const error = step({ name, path, writes: isWritten || WRITING.has(name) })
      if (error === undefined) return await original(...args)
      // A close that fails has closed.
      if (name === 'close') await original(...args)
      throw error
    }
    Object.assign(file, { [name]: guarded })
  }
  return file
}

function guardCallback(name: (typeof CALLING)[number]): void {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- a path first and a callback last
  const original = fs[name] as unknown as Calling
  const guarded: Calling = (path, ...rest) => {
    const error = step({ name, path, writes: WRITING.has(name) })
    if (error === undefined) return original(path, ...rest)
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- see above
    const callback = rest.at(-1) as Callback
    return void setImmediate(() => callback(error))
  }
  Object.assign(fs, { [name]: guarded })
}

PROMISING.forEach(guardPromise)
CALLING.forEach(guardCallback)
syncBuiltinESMExports()
