// The account that workers run as: resolves the names of the configuration to ids, and checks that the account can read
// the program's files. It cannot enter a checkout in a private home directory, and a worker would then exit without a
// helpful error.
import { statSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { ProxyError } from '@reverse-proxy/shared/errors'

export interface Account {
  readonly uid: number
  readonly gid: number
}

/**
 * Resolves `user` and `group` of the configuration, each a name or a number; undefined without a user.
 * Throws CONFIG if one does not exist on this machine.
 */
export async function findAccount(
  user: string | undefined,
  group: string | undefined,
): Promise<Account | undefined> {
  if (user === undefined) return undefined
  // name:password:uid:gid:... and name:password:gid:members
  const passwd = (await readDatabase('/etc/passwd')).find(([name, , uid]) => name === user || uid === user)
  if (passwd === undefined) {
    throw new ProxyError('CONFIG', `user "${user}" does not exist`, {
      hint: `create it: useradd --system --no-create-home --shell /usr/sbin/nologin ${user}`,
    })
  }
  const uid = Number(passwd[2])
  if (group === undefined) return { uid, gid: Number(passwd[3]) }
  return { uid, gid: await findGroup(group) }
}

/** Resolves a group, given as a name or a number, to its id. Throws CONFIG if it does not exist on this machine. */
export async function findGroup(group: string): Promise<number> {
  const entry = (await readDatabase('/etc/group')).find(([name, , gid]) => name === group || gid === group)
  if (entry !== undefined) return Number(entry[2])
  throw new ProxyError('CONFIG', `group "${group}" does not exist`, {
    hint: `create it: groupadd --system ${group}`,
  })
}

async function readDatabase(path: string): Promise<string[][]> {
  const text = await readFile(path, 'utf8').catch(() => '')
  return text.split('\n').map((line) => line.split(':'))
}

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
