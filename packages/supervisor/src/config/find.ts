// Decides which configuration file to read.
import { stat } from 'node:fs/promises'
import { resolve } from 'node:path'
import { codeOf } from '@reverse-proxy/shared/error-text'

/** The path that stands for standard input, as --config only: a file of this name is `./-`. */
export const STANDARD_INPUT = '-'

/** The name of a configuration in reports. */
export function displayName(path: string): string {
  return path === STANDARD_INPUT ? 'standard input' : path
}

const PACKAGE = '@reverse-proxy/supervisor'

export interface FindOptions {
  /** The value of --config. */
  readonly flag: string | undefined
  readonly env: NodeJS.ProcessEnv
  readonly cwd: string
  readonly systemPath?: string
}

/**
 * Returns the absolute path of the file, or STANDARD_INPUT; undefined for the built-in local profile. A file that was named explicitly is
 * returned even if it does not exist: reading it reports that.
 */
export async function findConfig(options: FindOptions): Promise<string | undefined> {
  const { flag, env, cwd, systemPath = '/etc/reverse-proxy/config.toml' } = options
  if (flag === STANDARD_INPUT) return STANDARD_INPUT
  const base = runsAsScript(env) ? (env['INIT_CWD'] ?? cwd) : cwd
  const named = flag ?? env['REVERSE_PROXY_CONFIG']
  if (named !== undefined && named !== '') return resolve(base, named)
  return (await mayExist(systemPath)) ? systemPath : undefined
}

/**
 * A package manager runs our script in the directory of the package and sets INIT_CWD to the user's directory. Programs
 * that another package's script starts inherit INIT_CWD as well.
 */
function runsAsScript({ npm_lifecycle_event: script, npm_package_name: name }: NodeJS.ProcessEnv): boolean {
  return script === 'start' && name === PACKAGE
}

async function mayExist(path: string): Promise<boolean> {
  try {
    await stat(path)
    return true
  } catch (error) {
    const code = codeOf(error)
    // Other errors (EACCES, ELOOP) mean that the file exists: do not ignore it.
    return code !== 'ENOENT' && code !== 'ENOTDIR'
  }
}
