// The account that workers run as: resolves the names of the configuration to ids.
import { readFile } from 'node:fs/promises'
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
