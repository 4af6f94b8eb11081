// Whether the workers' account can read the program's own files: a checkout under a private home cannot be
// entered by anybody else, and a worker would die of it without a word that helps.
import { statSync } from 'node:fs'
import { dirname } from 'node:path'
import { ProxyError } from '@reverse-proxy/shared/errors'
import type { Account } from './account.ts'

const READ = 4
const SEARCH = 1

/** Throws CONFIG naming the first directory that keeps `account` from `folders`. Access lists are not looked at. */
export function assertProgramReadable(folders: readonly string[], account: Account): void {
  for (const folder of folders) {
    const closed = firstClosed(folder, account)
    if (closed === undefined) continue
    throw new ProxyError(
      'CONFIG',
      `the workers' account cannot read the program: ${closed} is closed to it`,
      {
        hint: 'install the program where everybody may read it (deploy/install.sh puts it under /opt), or leave out `user`',
      },
    )
  }
}

/** `folder` must be readable, every directory above it enterable. */
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
