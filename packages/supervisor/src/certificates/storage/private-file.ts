// Reads and quarantines files of a private directory without trusting them: follows no symbolic link, reads regular
// files only (a pipe would never end), and no more than a limit.
import { constants } from 'node:fs'
import { open, rename } from 'node:fs/promises'
import { DamagedValueError } from './storage.ts'
import { codeOf } from '@reverse-proxy/shared/error-text'
import { randomBytes } from 'node:crypto'
import { basename, join } from 'node:path'
import type { Quarantined } from './storage.ts'
import { makePrivateSubdirectory } from './atomic-file.ts'

/**
 * The file's text; undefined if there is none. Throws DamagedValueError, or the error of a file system
 * that fails or forbids: moving the file away would hide that.
 */
export async function readPrivateFile(path: string, limitBytes: number): Promise<string | undefined> {
  const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants
  let file
  try {
    file = await open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
  } catch (error) {
    const code = codeOf(error)
    if (code === 'ENOENT') return undefined
    if (code === 'ELOOP') throw new DamagedValueError(`${path} is a symbolic link`)
    if (code === 'ENOTDIR' || code === 'ENXIO') throw new DamagedValueError(`${path} is not a file`)
    throw error
  }
  try {
    const stats = await file.stat()
    if (!stats.isFile()) throw new DamagedValueError(`${path} is not a file`)
    if (stats.size > limitBytes) throw new DamagedValueError(`${path} has ${stats.size} bytes`)
    return await file.readFile('utf8')
  } finally {
    await file.close()
  }
}

/**
 * Moves `name`, a path inside `directory`. Undefined if it has gone already: another process was faster.
 * If it cannot be moved it stays, and the reason says so; the rest of the directory remains usable.
 */
export async function quarantineFile(
  directory: string,
  name: string,
  reason: string,
): Promise<Quarantined | undefined> {
  const from = join(directory, name)
  try {
    const quarantine = await makePrivateSubdirectory(directory, 'quarantine')
    const path = join(quarantine, `${basename(name)}-${randomBytes(2).toString('hex')}`)
    await rename(from, path)
    return { path, reason }
  } catch (error) {
    const code = codeOf(error)
    return code === 'ENOENT' ? undefined : { path: from, reason: `${reason}; not put aside: ${code}` }
  }
}
