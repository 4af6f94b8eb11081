// Files that survive a crash: written beside, synced, renamed, and the directory synced too.
import { randomBytes } from 'node:crypto'
import { chmod, mkdir, open, rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { ProxyError } from '@reverse-proxy/shared/errors'

const PRIVATE_DIRECTORY = 0o700
const PRIVATE_FILE = 0o600

/** Makes a directory that its owner alone can enter, with its parents. */
export async function makePrivateDirectory(path: string): Promise<void> {
  await mkdir(path, { recursive: true, mode: PRIVATE_DIRECTORY })
  await chmod(path, PRIVATE_DIRECTORY)
}

/** Replaces `path` as a whole: whoever reads it, at any time, finds the old text or the new. */
export async function replaceFile(path: string, text: string): Promise<void> {
  const temporary = `${path}.${randomBytes(6).toString('hex')}.new`
  try {
    await createFile(temporary, text)
    await rename(temporary, path)
  } catch (error) {
    await rm(temporary, { force: true })
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
  return new ProxyError(
    'CACHE',
    `cannot use ${directory}: ${error instanceof Error ? error.message : String(error)}`,
    {
      cause: error,
      hint: HINTS[code] ?? 'nothing has been ordered; check the directory and start again',
    },
  )
}

const HINTS: Readonly<Record<string, string>> = {
  EACCES: 'make the directory writable for the account the supervisor runs as',
  EPERM: 'the directory must belong to the account the supervisor runs as',
  EROFS:
    'the file system is read-only: choose another directory, or allow it in the service unit (ReadWritePaths=)',
  ENOSPC: 'the disk is full',
  EDQUOT: 'the disk quota is used up',
  ENOTDIR: 'a part of the path is a file',
}

/** `ENOENT` and the like. */
export function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined
}
