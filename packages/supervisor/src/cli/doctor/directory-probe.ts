// Tests whether a directory of secrets can be written and is private. It writes a file and removes it again.
import { access, constants, lstat, readdir, rm, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { codeOf } from '@reverse-proxy/shared/error-text'
import { cacheError, createFile, temporaryPath } from '../../certificates/storage/atomic-file.ts'
import { unexpectedEntry } from '../../certificates/storage/permissions.ts'
import type { DirectoryState } from './probes.ts'

/** Entries checked. A cache has about twenty; a home directory given by mistake has far more. */
const ENTRIES = 1_000
const OTHERS = 0o077

export async function probeDirectory(path: string): Promise<DirectoryState> {
  const nearest = await nearestExisting(path)
  const exists = nearest === path
  const fault = await writeFault(path, nearest, exists)
  const isUsable = exists && fault === undefined
  const exposed = isUsable ? await exposedIn(path) : []
  return {
    path: nearest,
    exists,
    fault,
    exposed,
    foreign: isUsable ? await unexpectedEntry(path) : undefined,
  }
}

async function nearestExisting(path: string): Promise<string> {
  try {
    await stat(path)
    return path
  } catch (error) {
    const parent = dirname(path)
    return codeOf(error) === 'ENOENT' && parent !== path ? await nearestExisting(parent) : path
  }
}

async function writeFault(path: string, nearest: string, exists: boolean): Promise<DirectoryState['fault']> {
  try {
    if (exists) {
      const probe = temporaryPath(join(path, '.probe'))
      await createFile(probe, 'probe')
      await rm(probe, { force: true })
    } else {
      await access(nearest, constants.W_OK | constants.X_OK)
    }
    return undefined
  } catch (error) {
    const { message, hint = '' } = cacheError(path, error)
    return { message, hint }
  }
}

async function exposedIn(path: string): Promise<string[]> {
  const names = await readdir(path, { recursive: true }).catch(() => [])
  const exposed: string[] = []
  for (const name of ['.', ...names.slice(0, ENTRIES)]) {
    const entry = await lstat(join(path, name)).catch(() => undefined)
    if (entry === undefined || entry.isSymbolicLink()) continue
    if ((entry.mode & OTHERS) !== 0) exposed.push(name === '.' ? 'the directory itself' : name)
  }
  return exposed
}
