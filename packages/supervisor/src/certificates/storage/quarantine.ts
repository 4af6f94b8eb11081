// Keeps unusable files under quarantine/ of their directory instead of overwriting them.
import { randomBytes } from 'node:crypto'
import { rename } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { codeOf } from '@reverse-proxy/shared/error-text'
import type { Quarantined } from './storage.ts'
import { makePrivateSubdirectory } from './atomic-file.ts'

/**
 * Moves `name`, a path inside `directory`. Undefined if it has gone already: another process was faster.
 * Where it cannot be moved it stays, and the reason says so: what else the directory holds is good all the same.
 */
export async function putAside(
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
