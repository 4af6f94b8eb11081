// Files that survive a crash: written beside, synced, renamed, and the directory synced too. Follows no
// symbolic link inside a directory of ours: who planted one there would have us write somewhere else.
import { randomBytes } from 'node:crypto'
import { constants } from 'node:fs'
import { mkdir, open, readdir, rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { codeOf, messageOf } from '@reverse-proxy/shared/error-text'
import { ProxyError } from '@reverse-proxy/shared/errors'

const PRIVATE_DIRECTORY = 0o700
const PRIVATE_FILE = 0o600
const TEMPORARY = '.new'
/** No other program uses such names. */
const TEMPORARY_NAME = /\.[\da-f]{12}\.new$/u

/** Makes a directory that its owner alone can enter, with its parents. The operator may have put a link in its place. */
export async function makePrivateDirectory(path: string): Promise<void> {
  await makeDirectory(path, constants.O_DIRECTORY)
}

/** The same inside a directory of ours, where nobody puts links. */
export async function makePrivateSubdirectory(parent: string, name: string): Promise<string> {
  const path = join(parent, name)
  await makeDirectory(path, constants.O_DIRECTORY | constants.O_NOFOLLOW)
  return path
}

async function makeDirectory(path: string, flags: number): Promise<void> {
  const first = await mkdir(path, { recursive: true, mode: PRIVATE_DIRECTORY }).catch(
    async (error: unknown) => {
      throw codeOf(error) === 'ENOENT' ? await reasonOf(path, error) : error
    },
  )
  const directory = await open(path, flags)
  try {
    const { mode } = await directory.stat()
    if ((mode & 0o777) !== PRIVATE_DIRECTORY) await directory.chmod((mode & 0o7000) | PRIVATE_DIRECTORY)
  } finally {
    await directory.close()
  }
  if (first !== undefined) await syncParents(path, first)
}

/** With `recursive`, the runtime reports ENOENT instead of the error of the nearest existing directory, such as EROFS. */
async function reasonOf(path: string, error: unknown): Promise<unknown> {
  for (let missing = path; missing !== dirname(missing); missing = dirname(missing)) {
    const refusal: unknown = await mkdir(missing, PRIVATE_DIRECTORY).then(
      () => error,
      (cause: unknown) => cause,
    )
    if (codeOf(refusal) !== 'ENOENT') return refusal
  }
  return error
}

/** Syncs the parents of new directories from `first` down to `path`: a new entry lasts once its parent is synced. */
async function syncParents(path: string, first: string): Promise<void> {
  for (let made = path; made.startsWith(first); made = dirname(made)) {
    await syncDirectory(dirname(made)).catch((error: unknown) => {
      // One that can be entered and written, not read: nothing can be done there.
      if (codeOf(error) !== 'EACCES') throw error
    })
  }
}

/** A name beside `path` for what will replace it: `sweepTemporary` finds it if a crash leaves it. */
export function temporaryPath(path: string): string {
  return `${path}.${randomBytes(6).toString('hex')}${TEMPORARY}`
}

/** Whether `name` comes from `temporaryPath`. */
export function isTemporary(name: string): boolean {
  return TEMPORARY_NAME.test(name)
}

/** Removes what killed processes left under temporary names. The caller alone writes in this directory. */
export async function sweepTemporary(directory: string): Promise<void> {
  // Nothing depends on it: what cannot be removed now is removed next time.
  const names = await readdir(directory).catch(() => [])
  for (const name of names.filter(isTemporary)) {
    await rm(join(directory, name), { recursive: true, force: true }).catch(() => {})
  }
}

/** Replaces `path` as a whole: a reader finds the old text or the new, at any time. */
export async function replaceFile(path: string, text: string): Promise<void> {
  const temporary = temporaryPath(path)
  try {
    await createFile(temporary, text)
    await rename(temporary, path)
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => {})
    throw error
  }
  await syncDirectory(dirname(path))
}

/** Writes a file that must not exist yet; its content is on the disk when this resolves, its name may not be. */
export async function createFile(path: string, text: string): Promise<void> {
  const file = await open(path, 'wx', PRIVATE_FILE)
  try {
    await file.writeFile(text)
    await file.sync()
  } finally {
    await file.close()
  }
}

/** Makes names that were added to a directory, or renamed in it, last. */
export async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r')
  try {
    await directory.sync()
  } finally {
    await directory.close()
  }
}

/** The operator's view of a file operation that failed under `directory`. */
export function cacheError(directory: string, error: unknown): ProxyError {
  const code = codeOf(error) ?? ''
  return new ProxyError('CACHE', `cannot use ${directory}: ${messageOf(error)}`, {
    cause: error,
    hint: HINTS[code] ?? 'check the directory and the disk it is on, and start again',
  })
}

const HINTS: Readonly<Record<string, string>> = {
  EACCES: 'make the directory writable for the account the supervisor runs as',
  EPERM: 'the directory must belong to the account the supervisor runs as',
  EROFS:
    'the file system is read-only: choose another directory, or allow it in the service unit (ReadWritePaths=)',
  ENOSPC: 'the disk is full',
  EDQUOT: 'the disk quota is used up',
  ENOTDIR: 'a part of the path is a file, or a symbolic link where a directory belongs: move it away',
  EEXIST: 'something else lies where a directory belongs: move it away',
  ELOOP: 'a symbolic link lies where a directory belongs: move it away',
}
