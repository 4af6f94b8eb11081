// Opens the log file, often as root, in a directory where the account of the workers may create anything. The file is
// created and its ownership given to that account. A symbolic or hard link in its place is neither written nor given
// away (compare CVE-2016-1247 of nginx).
import fs from 'node:fs'
import { lstat, readlink, stat } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { codeOf, messageOf } from '@reverse-proxy/shared/error-text'
import { ProxyError } from '@reverse-proxy/shared/errors'
import { LOG_FILE_FLAGS, LOG_FILE_MODE } from '@reverse-proxy/shared/log/device'
import type { Account } from './account.ts'

const ROOT = 0
const SHARED_LOG_FILE_MODE = 0o660

/** Resolves with the descriptor. */
type OpenFile = (path: string, flags: number, mode: number) => Promise<number>

const openFile: OpenFile = promisify(fs.open)

/**
 * Creates the file if it is missing, owned by the account of the workers.
 * Throws CONFIG if that is not possible.
 */
export async function prepareLogFile(path: string | undefined, account: Account | undefined): Promise<void> {
  if (path === undefined) return
  try {
    const fd = await openLogFile(path)
    try {
      if (account !== undefined) giveTo(account, fd)
    } finally {
      fs.closeSync(fd)
    }
  } catch (cause) {
    // A pipe without a reader yet: log lines are buffered until it has one.
    if (codeOf(cause) === 'ENXIO') return
    const isLink = codeOf(cause) === 'ELOOP'
    throw new ProxyError(
      'CONFIG',
      `the log file ${path} cannot be written: ${isLink ? 'it is a symbolic link' : messageOf(cause)}`,
      {
        cause,
        hint: isLink
          ? 'configure the path of the file itself: others could point a link in its directory to any file'
          : 'create its directory, writable for the account the supervisor runs as, or change logging.log_file_path',
      },
    )
  }
}

/**
 * Opens the file for appending and creates it if it is missing. Resolves with the descriptor; does not wait for a
 * reader of a pipe. Rejects with the error of node:fs (ELOOP for a symbolic link), and if the path leads through a link
 * that belongs to neither root nor this user.
 */
export async function openLogFile(path: string, open = openFile): Promise<number> {
  const directory = await resolveTrusted(dirname(resolve(path)))
  const fd = await openOrCreate(join(directory, basename(path)), open)
  try {
    await assertWithin(directory, fd)
    return fd
  } catch (error) {
    fs.closeSync(fd)
    throw error
  }
}

/** A new file has LOG_FILE_MODE, independent of the umask. */
async function openOrCreate(path: string, open: OpenFile): Promise<number> {
  try {
    const created = await open(path, LOG_FILE_FLAGS | fs.constants.O_EXCL, LOG_FILE_MODE)
    fs.fchmodSync(created, LOG_FILE_MODE)
    return created
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') throw error
    return await open(path, LOG_FILE_FLAGS, LOG_FILE_MODE)
  }
}

/** `path` with its links resolved. Links of root and of this user are followed. */
async function resolveTrusted(path: string): Promise<string> {
  // Throws ELOOP if the links form a loop.
  await stat(path)
  if (path === dirname(path)) return path
  const own = join(await resolveTrusted(dirname(path)), basename(path))
  const stats = await lstat(own)
  if (!stats.isSymbolicLink()) return own
  if (stats.uid !== ROOT && stats.uid !== process.geteuid?.())
    throw new Error(`${own} is a symbolic link that belongs to neither root nor us`)
  return await resolveTrusted(resolve(dirname(own), await readlink(own)))
}

/** A directory on the path may have been replaced by a link since the check: compare with the kernel's path. */
async function assertWithin(directory: string, fd: number): Promise<void> {
  const link = `/proc/self/fd/${fd}`
  // Not available on every system.
  const opened = await readlink(link).catch(() => undefined)
  if (opened !== undefined && dirname(opened) !== directory)
    throw new Error(`a link on its path changed to ${dirname(opened)} while the file was being opened`)
}

/** Without the right to change the owner, the group gets access. The owner of a pipe or a device stays. */
function giveTo(account: Account, fd: number): void {
  const stats = fs.fstatSync(fd)
  if (stats.uid === account.uid || !stats.isFile()) return
  if (stats.nlink !== 1) throw new Error('it has a second hard link, so it may be another file')
  try {
    fs.fchownSync(fd, account.uid, account.gid)
  } catch (error) {
    // Root without CAP_CHOWN, as under deploy/systemd, where the directory passes its group on.
    if (codeOf(error) !== 'EPERM' || stats.gid !== account.gid) throw error
    fs.fchmodSync(fd, SHARED_LOG_FILE_MODE)
  }
}
