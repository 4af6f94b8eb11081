// Reads the files of a private directory as if somebody else had been at them: through no symbolic link,
// from nothing but a regular file (a pipe would never end), and never more than a limit.
import { constants } from 'node:fs'
import { open } from 'node:fs/promises'
import { DamagedValueError } from './storage.ts'
import { codeOf } from '@reverse-proxy/shared/error-text'

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
