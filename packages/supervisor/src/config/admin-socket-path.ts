// Where the proxy that runs with a configuration file listens for commands. Reads two keys and nothing
// more: a file that has become invalid must not keep anyone from asking the proxy that is running.
import { dirname, resolve } from 'node:path'
import { ProxyError } from '@reverse-proxy/shared/errors'
import { defaultAdminSocketPath, defaultStateDir, type Environment } from './environment.ts'
import { decodeText, parseToml } from './parse.ts'
import { readConfigFile } from './read.ts'

/** @throws ProxyError ADMIN when the socket is disabled there */
export async function findAdminSocketPath(
  file: string | undefined,
  environment: Environment,
): Promise<string> {
  const document = file === undefined ? {} : await readDocument(file)
  const resolvePath = (name: string): string => resolve(file === undefined ? '/' : dirname(file), name)
  const given = document['admin_socket_path']
  if (given === '') {
    throw new ProxyError('ADMIN', 'the admin socket is disabled in this configuration', {
      hint: 'remove admin_socket_path = "" and restart the proxy',
    })
  }
  if (typeof given === 'string') return resolvePath(given)
  const stateDir = document['state_dir']
  return defaultAdminSocketPath(
    environment,
    typeof stateDir === 'string' ? resolvePath(stateDir) : defaultStateDir(environment),
  )
}

/** What can be read of it; of a file that cannot be read, or is no TOML, the defaults are as good a guess as any. */
async function readDocument(file: string): Promise<Readonly<Record<string, unknown>>> {
  try {
    const document = parseToml(file, decodeText(file, await readConfigFile(file)))
    return typeof document === 'object' && document !== null ? { ...document } : {}
  } catch {
    return {}
  }
}
