// Checks who can read or change a cache directory. Open permissions are closed and reported, since a key may be known
// by now; foreign owners are reported.
import { constants } from 'node:fs'
import { lstat, open, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Exposure } from './storage.ts'
import { codeOf } from '@reverse-proxy/shared/error-text'
import { isTemporary } from './atomic-file.ts'

const OPEN_TO_OTHERS = 0o077
/** Permission bits of a mode, with set-uid, set-gid and sticky. */
const PERMISSIONS = 0o7777
/** Entries that belong in a cache directory, and those that a file system puts in the root of a disk. */
const OURS =
  /^(?:accounts|generations|quarantine|current|lock.*|last-failure\.json|renewal\.json|order\.json|lost\+found)$/u
/** generations/<name>/key.pem, quarantine/<name>/key.pem */
const DEPTH = 3
/** A directory that holds more than this is not one of ours. */
const ENTRY_LIMIT = 1000
/** Made first in every cache. */
const MARK = 'generations'
/** Unknown files that are reported. */
const STRANGER_LIMIT = 20

/**
 * Something for which `directory` is not a cache but a directory of somebody else: then nothing may be changed there,
 * least of all as root. Undefined for a cache, whatever strangers lie in it, for a directory with nothing but hidden
 * files, and if there is no such directory.
 */
export async function unexpectedEntry(directory: string): Promise<string | undefined> {
  const names: readonly string[] = await readdir(directory).catch(() => [])
  if (names.includes(MARK)) return undefined
  return names.find((name) => !isOurs(name) && !name.startsWith('.'))
}

/** Files of others in a cache: copies, an editor's, a file server's. They are left alone. Never throws. */
export async function strangersIn(directory: string): Promise<readonly Exposure[]> {
  const names: readonly string[] = await readdir(directory).catch(() => [])
  return names
    .filter((name) => !isOurs(name))
    .slice(0, STRANGER_LIMIT)
    .map((name) => ({
      path: join(directory, name),
      problem: 'it is not a file of this cache; it is left alone',
    }))
}

/** Looks at `directory` and what is in it; a directory that does not exist exposes nothing. Never throws. */
export async function restrict(directory: string): Promise<readonly Exposure[]> {
  const paths = [directory, ...(await pathsBelow(directory, DEPTH))]
  const exposures: Exposure[] = []
  for (const path of paths.slice(0, ENTRY_LIMIT)) {
    const problem = await closeOne(path).catch(() => undefined)
    if (problem !== undefined) exposures.push({ path, problem })
  }
  return exposures
}

function isOurs(name: string): boolean {
  return OURS.test(name) || isTemporary(name)
}

async function pathsBelow(directory: string, depth: number): Promise<string[]> {
  const entries = await readdir(directory, { withFileTypes: true }).catch(() => [])
  const paths: string[] = []
  for (const entry of entries.slice(0, ENTRY_LIMIT)) {
    if (depth === DEPTH && !isOurs(entry.name)) continue
    const path = join(directory, entry.name)
    paths.push(path)
    if (entry.isDirectory() && depth > 1) paths.push(...(await pathsBelow(path, depth - 1)))
  }
  return paths
}

async function closeOne(path: string): Promise<string | undefined> {
  const { mode, uid } = await lstat(path)
  const type = mode & constants.S_IFMT
  if (type !== constants.S_IFREG && type !== constants.S_IFDIR) return undefined
  if (uid !== process.geteuid?.()) return `it belongs to uid ${uid}, who can read and replace what is in it`
  if ((mode & OPEN_TO_OTHERS) === 0) return undefined
  const modeText = (mode & 0o777).toString(8).padStart(4, '0')
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  try {
    await file.chmod(mode & PERMISSIONS & ~OPEN_TO_OTHERS)
    return `its mode was ${modeText}: if others have read a key, order a new certificate`
  } catch (error) {
    return `its mode is ${modeText} and cannot be changed (${codeOf(error)})`
  } finally {
    await file.close()
  }
}
