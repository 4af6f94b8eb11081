// The parts of the process environment that the configuration depends on, and the default directories.
import { homedir } from 'node:os'
import { isAbsolute, join } from 'node:path'

export interface Environment {
  readonly isRoot: boolean
  readonly env: NodeJS.ProcessEnv
  readonly homeDir: string
}

export function processEnvironment(): Environment {
  return { isRoot: process.getuid?.() === 0, env: process.env, homeDir: homedir() }
}

/** The default of `state_dir`. */
export function defaultStateDir({ isRoot, env, homeDir }: Environment): string {
  if (isRoot) return '/var/lib/reverse-proxy'
  const given = firstDirectory(env['STATE_DIRECTORY'])
  if (given !== undefined) return given
  const base = firstDirectory(env['XDG_STATE_HOME']) ?? join(homeDir, '.local', 'state')
  return join(base, 'reverse-proxy')
}

/** The default of `admin_socket_path`. */
export function defaultAdminSocketPath({ isRoot, env }: Environment, stateDir: string): string {
  if (isRoot) return '/run/reverse-proxy/admin.sock'
  const given = firstDirectory(env['RUNTIME_DIRECTORY'])
  if (given !== undefined) return join(given, 'admin.sock')
  const base = firstDirectory(env['XDG_RUNTIME_DIR'])
  return base === undefined ? join(stateDir, 'admin.sock') : join(base, 'reverse-proxy', 'admin.sock')
}

/** systemd separates several directories by colons; a relative path is ignored, as XDG requires. */
function firstDirectory(value: string | undefined): string | undefined {
  const [first = ''] = (value ?? '').split(':')
  return isAbsolute(first) ? first : undefined
}
