// The account that workers run as: names from the configuration turned into ids.
import { readFile } from 'node:fs/promises'
import { ProxyError } from '@reverse-proxy/shared/errors'

export interface Account {
  readonly uid: number
  readonly gid: number
}

/**
 * `user` and `group` of the configuration, each a name or a number; undefined when there is no user.
 * Throws CONFIG when the machine does not know them.
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

/** The id of a group, which is a name or a number. Throws CONFIG when the machine does not know it. */
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
