// The configuration of a start without a file: loopback addresses, an internal CA, and the welcome page that is built
// into every worker.
import type { Config } from '@reverse-proxy/shared/config/config'
import { ProxyError } from '@reverse-proxy/shared/errors'
import type { Environment } from './environment.ts'
import { loadConfig, type LoadedConfig, type LoadOptions } from './load.ts'
import { toConfig } from './normalise.ts'
import { checkDocument } from './schema/check.ts'

// The health port keeps its default: a newcomer tries `curl 127.0.0.1:9900/health` early, and a start that finds the
// port taken names it.
const FILE = {
  rate_limit: { requests_per_second: 100, burst: 200 },
  body: { limit_bytes: 10 * 1024 * 1024 },
  listeners: [
    {
      bind_addr: '127.0.0.1',
      http_port: 8080,
      https_port: 8443,
      tls: { mode: 'internal' },
      sites: [{ host: 'localhost', upstream: 'localhost:443' }],
    },
  ],
}

export function localProfile(environment: Environment): Config {
  const { complete } = checkDocument(structuredClone(FILE))
  if (complete === undefined) throw new ProxyError('INTERNAL', 'the local profile breaks the schema')
  const config = toConfig(complete, {
    environment,
    allowWildcardBindFlag: false,
    resolvePath: (path) => path,
    upstreamCaPem: new Map(),
    clientCaPem: new Map(),
    passwordFiles: new Map(),
  })
  return {
    ...config,
    listeners: config.listeners.map((listener) => ({
      ...listener,
      // The file format has no spelling for the built-in welcome upstream.
      sites: listener.sites.map((site) => ({
        ...site,
        action:
          site.action.kind === 'proxy'
            ? { ...site.action, upstream: { kind: 'welcome' } as const }
            : site.action,
      })),
    })),
  }
}

/** Loads the file, or the local profile if there is none. Throws ConfigErrors. */
export async function loadConfigOrProfile(
  path: string | undefined,
  options: LoadOptions,
): Promise<LoadedConfig> {
  return path === undefined
    ? { config: localProfile(options.environment), warnings: [] }
    : await loadConfig(path, options)
}
