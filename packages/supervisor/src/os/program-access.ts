// Checks that the account of the workers can read the program's files. It cannot enter a checkout in a private home
// directory, and a worker would then exit without a helpful error.
import { statSync } from 'node:fs'
import { dirname } from 'node:path'
import { ProxyError } from '@reverse-proxy/shared/errors'
import type { Account } from './account.ts'

const READ = 4
const SEARCH = 1

/** Throws CONFIG with the first directory that denies `account` access to `folders`. Ignores access control lists. */
export function assertProgramReadable(folders: readonly string[], account: Account): void {
  for (const folder of folders) {
    const closed = firstClosed(folder, account)
    if (closed === undefined) continue
    throw new ProxyError(
      'CONFIG',
      `the account of the workers cannot read the program: it has no access to ${closed}`,
      {
        hint: 'install the program in a directory that everyone can read (deploy/install.sh uses /opt), or remove `user`',
      },
    )
  }
}

/** `folder` must be readable, and every directory above it searchable. */
function firstClosed(folder: string, account: Account): string | undefined {
  const ancestors = ancestorsOf(folder)
  return ancestors.find((path) => !allows(path, path === folder ? READ | SEARCH : SEARCH, account))
}

/** From the root down to `folder` itself. */
function ancestorsOf(folder: string): string[] {
  const parent = dirname(folder)
  return parent === folder ? [folder] : [...ancestorsOf(parent), folder]
}

function allows(path: string, wanted: number, { uid, gid }: Account): boolean {
  const stat = statSync(path)
  if (uid === 0) return true
  const shift = stat.uid === uid ? 6 : stat.gid === gid ? 3 : 0
  return ((stat.mode >> shift) & wanted) === wanted
}
