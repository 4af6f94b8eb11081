// The log file as the supervisor opens it, more often than not as root, in a directory where the workers'
// account may put anything. It is created and given to that account; what else has been put in its place, by a
// link of whatever kind, is neither written nor given away (CVE-2016-1247 is that of another web server).
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
 * Creates the file where there is none, owned by the account that workers write to it as.
 * Throws CONFIG when that is not possible.
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
    // A pipe that nobody reads yet: it is there, and lines are held until somebody does.
    if (codeOf(cause) === 'ENXIO') return
    const isLink = codeOf(cause) === 'ELOOP'
    throw new ProxyError(
      'CONFIG',
      `the log file ${path} cannot be written: ${isLink ? 'it is a symbolic link' : messageOf(cause)}`,
      {
        cause,
        hint: isLink
          ? 'who may write in its directory could lead it anywhere: configure the path of the file itself'
          : 'create its directory, writable for the account the supervisor runs as, or change logging.log_file_path',
      },
    )
  }
}

/**
 * Opens it to append, and creates it where there is none. Resolves with the descriptor; waits for no reader of a
 * pipe. Rejects with what node:fs says, ELOOP for a symbolic link, and where the path leads through a link that
 * neither root nor we have made.
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

/** Whatever the umask, a new file has LOG_FILE_MODE. */
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

/** `path` without links. Root may lay them as it likes, and so may we. */
async function resolveTrusted(path: string): Promise<string> {
  // Links that lead to each other end here.
  await stat(path)
  if (path === dirname(path)) return path
  const own = join(await resolveTrusted(dirname(path)), basename(path))
  const stats = await lstat(own)
  if (!stats.isSymbolicLink()) return own
  if (stats.uid !== ROOT && stats.uid !== process.geteuid?.())
    throw new Error(`${own} is a symbolic link that belongs to neither root nor us`)
  return await resolveTrusted(resolve(dirname(own), await readlink(own)))
}

/** A directory on the way may have been replaced by a link since we looked: the kernel knows where the file lies. */
async function assertWithin(directory: string, fd: number): Promise<void> {
  const link = `/proc/self/fd/${fd}`
  // Not on every system.
  const opened = await readlink(link).catch(() => undefined)
  if (opened !== undefined && dirname(opened) !== directory)
    throw new Error(`it was led to ${dirname(opened)} while it was being opened`)
}

/** Where the supervisor may give nothing away, the group shares it. A pipe or a device stays whose it is. */
function giveTo(account: Account, fd: number): void {
  const stats = fs.fstatSync(fd)
  if (stats.uid === account.uid || !stats.isFile()) return
  if (stats.nlink !== 1) throw new Error('it has another name, a hard link, and may be something else')
  try {
    fs.fchownSync(fd, account.uid, account.gid)
  } catch (error) {
    // Root without CAP_CHOWN, as under deploy/systemd, where the directory passes its group on.
    if (codeOf(error) !== 'EPERM' || stats.gid !== account.gid) throw error
    fs.fchmodSync(fd, SHARED_LOG_FILE_MODE)
  }
}
