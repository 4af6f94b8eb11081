// Checks the cache directories in the file system: that no two are the same directory (rule 20), and that a start can
// use each. Changes nothing.
import type { Stats } from 'node:fs'
import { constants } from 'node:fs'
import { access, realpath, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import {
  configIssue,
  formatPath,
  type ConfigIssue,
  type ConfigPath,
} from '@reverse-proxy/shared/config/issues'
import { tlsOf, type RuleContext } from '@reverse-proxy/shared/config/rules/rule'
import type { ConfigFile, Valid } from '@reverse-proxy/shared/config/schema'
import { codeOf } from '@reverse-proxy/shared/error-text'
import { cacheError } from '../certificates/storage/atomic-file.ts'
import { unexpectedEntry } from '../certificates/storage/permissions.ts'

type PathContext = Pick<RuleContext, 'resolvePath'>

interface CacheDirectory {
  readonly path: string
  readonly at: ConfigPath
}

/** Rule 20 for one directory with two paths, for example through a symbolic link. Another rule finds equal paths. */
export async function checkSharedCaches(
  file: Valid<ConfigFile>,
  context: PathContext,
): Promise<readonly ConfigIssue[]> {
  const issues: ConfigIssue[] = []
  const first = new Map<string, CacheDirectory>()
  for (const directory of cacheDirectoriesOf(file, context)) {
    const { path, at } = directory
    const real = await realPathOf(path)
    const owner = first.get(real)
    if (owner === undefined) first.set(real, directory)
    else if (owner.path !== path) {
      const message = `${path} is ${real}, which is already the cache of ${formatPath(owner.at.slice(0, -1))}`
      issues.push(configIssue('ACME_CACHE_DIR_SHARED', at, message, 'give each listener its own'))
    }
  }
  return issues
}

/** Reports what would make a start fail, and what a start would change. The directories need not exist yet. */
export async function checkCaches(
  file: Valid<ConfigFile>,
  context: PathContext,
): Promise<readonly ConfigIssue[]> {
  const directories = [...cacheDirectoriesOf(file, context)]
  const issues = await Promise.all(directories.map(async (directory) => await directoryIssue(directory)))
  return issues.filter((issue) => issue !== undefined)
}

function* cacheDirectoriesOf(
  file: Valid<ConfigFile>,
  { resolvePath }: PathContext,
): Generator<CacheDirectory> {
  for (const { value, at } of tlsOf(file)) {
    if (value.mode !== 'acme' || value.acme_cache_dir === undefined) continue
    yield { path: resolvePath(value.acme_cache_dir), at: [...at, 'acme_cache_dir'] }
  }
}

/** Resolves a path whose last parts may not exist yet. */
export async function realPathOf(path: string): Promise<string> {
  try {
    return await realpath(path)
  } catch {
    const parent = dirname(path)
    return parent === path ? path : join(await realPathOf(parent), basename(path))
  }
}

async function directoryIssue({ path, at }: CacheDirectory): Promise<ConfigIssue | undefined> {
  try {
    const stats = await statOf(path)
    if (stats === undefined) {
      await access(await nearestExisting(path), constants.W_OK | constants.X_OK)
      return undefined
    }
    const foreign = await unexpectedEntry(path)
    if (foreign !== undefined) {
      const hint = 'choose a directory for the cache alone: a start with this one fails'
      return configIssue(
        'ACME_CACHE_DIR_UNUSABLE',
        at,
        `${path} contains ${foreign}, so it is not a certificate cache`,
        hint,
      )
    }
    await access(path, constants.R_OK | constants.W_OK | constants.X_OK)
    return exposureOf(path, at, stats)
  } catch (error) {
    const { message, hint = '' } = cacheError(path, error)
    const dependsOnAccount = ACCOUNT_CODES.has(codeOf(error) ?? '')
    return dependsOnAccount
      ? configIssue('ACME_CACHE_DIR_UNWRITABLE', at, `as uid ${process.geteuid?.()}: ${message}`, hint)
      : configIssue('ACME_CACHE_DIR_UNUSABLE', at, message, hint)
  }
}

/** These may concern only the account that validates, which may differ from the account of the service. */
const ACCOUNT_CODES = new Set(['EACCES', 'EPERM', 'EROFS'])
const OPEN_TO_OTHERS = 0o077

function exposureOf(path: string, at: ConfigPath, { uid, mode }: Stats): ConfigIssue | undefined {
  if (uid !== process.geteuid?.()) {
    const hint = 'it must belong to the account of the supervisor: no other account may read keys'
    return configIssue('ACME_CACHE_DIR_EXPOSED', at, `${path} belongs to uid ${uid}`, hint)
  }
  if ((mode & OPEN_TO_OTHERS) === 0) return undefined
  const modeText = (mode & 0o777).toString(8).padStart(4, '0')
  const hint = `chmod -R go= ${path}: a start does this as well; renew the certificates if others may have read the keys`
  return configIssue(
    'ACME_CACHE_DIR_EXPOSED',
    at,
    `${path} is accessible to others: its mode is ${modeText}`,
    hint,
  )
}

/** Undefined if nothing exists there. Throws for a file that is not a directory. */
async function statOf(path: string): Promise<Stats | undefined> {
  try {
    const stats = await stat(path)
    if (stats.isDirectory()) return stats
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined
    throw error
  }
  throw Object.assign(new Error('it is not a directory'), { code: 'ENOTDIR' })
}

async function nearestExisting(path: string): Promise<string> {
  const parent = dirname(path)
  return parent === path || (await statOf(path)) !== undefined ? path : await nearestExisting(parent)
}
