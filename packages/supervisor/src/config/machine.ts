// Checks what a configuration requires of the machine besides files: the account of the workers and a writable log.
// Changes nothing.
import { constants } from 'node:fs'
import { access, lstat, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { configIssue, type ConfigIssue } from '@reverse-proxy/shared/config/issues'
import type { RuleContext } from '@reverse-proxy/shared/config/rules/rule'
import type { ConfigFile, Valid } from '@reverse-proxy/shared/config/schema'
import { ProxyError } from '@reverse-proxy/shared/errors'
import { findAccount, findGroup } from '../os/account.ts'
import type { Environment } from './environment.ts'

export async function checkMachine(
  file: Valid<ConfigFile>,
  { isRoot }: Environment,
  { resolvePath }: Pick<RuleContext, 'resolvePath'>,
): Promise<readonly ConfigIssue[]> {
  const { user, group } = file
  const path = file.logging?.log_file_path
  const issues = await Promise.all([
    isRoot ? unknownAccount('user', async () => await findAccount(user, undefined)) : idleAccount(user),
    isRoot && user !== undefined && group !== undefined
      ? unknownAccount('group', async () => await findGroup(group))
      : undefined,
    path === undefined ? undefined : logFileFault(resolvePath(path)),
  ])
  return issues.filter((issue) => issue !== undefined)
}

/** A warning for a valid file only: next to errors it would distract. */
export function adviseAccount(user: string | undefined, isRoot: boolean): readonly ConfigIssue[] {
  if (!isRoot || user !== undefined) return []
  return [
    configIssue(
      'WORKERS_AS_ROOT',
      ['user'],
      'the workers, which process untrusted input, run as root',
      'set user to a separate account, such as reverse-proxy or nobody',
    ),
  ]
}

/** Only root can change accounts, so `user` has no effect otherwise. */
function idleAccount(user: string | undefined): ConfigIssue | undefined {
  if (user === undefined) return undefined
  return configIssue(
    'KEY_UNUSED',
    ['user'],
    'user has no effect unless the program is started as root',
    'the workers run as the user who starts the program; remove user (and group), or start it as root',
  )
}

async function unknownAccount(
  key: 'user' | 'group',
  find: () => Promise<unknown>,
): Promise<ConfigIssue | undefined> {
  try {
    await find()
    return undefined
  } catch (error) {
    if (!(error instanceof ProxyError)) throw error
    return configIssue('ACCOUNT_UNKNOWN', [key], error.message, error.hint ?? '')
  }
}

async function logFileFault(path: string): Promise<ConfigIssue | undefined> {
  const directory = dirname(path)
  const isDirectory = await stat(directory).then(
    (stats) => stats.isDirectory(),
    () => false,
  )
  if (!isDirectory) return logFileIssue(`${directory} is not an accessible directory`, 'create it first')
  const present = await lstat(path).catch(() => undefined)
  if (present?.isSymbolicLink() === true)
    return logFileIssue(`${path} is a symbolic link`, 'write the path of the file itself')
  if (present?.isDirectory() === true)
    return logFileIssue(`${path} is a directory`, 'write the path of a file in it')
  try {
    await access(present === undefined ? directory : path, constants.W_OK)
    return undefined
  } catch {
    return logFileIssue(
      `${path} cannot be written`,
      'give write access to the account that starts the program',
    )
  }
}

function logFileIssue(message: string, hint: string): ConfigIssue {
  return configIssue('LOG_FILE_UNUSABLE', ['logging', 'log_file_path'], message, hint)
}
