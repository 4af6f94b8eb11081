// The configuration of a start without any file: this machine alone, an internal CA, and
// the welcome page that is built into every worker.
import type { Config } from '@reverse-proxy/shared/config/config'
import { ProxyError } from '@reverse-proxy/shared/errors'
import type { Environment } from './environment.ts'
import { toConfig } from './normalise.ts'
import { checkDocument } from './schema-check.ts'

// The health port stays at its default: `curl 127.0.0.1:9900/health` is among the first things that
// somebody tries, and a start that finds it taken names the port.
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
  })
  return {
    ...config,
    listeners: config.listeners.map((listener) => ({
      ...listener,
      // The file format has no spelling for the built-in welcome upstream.
      sites: listener.sites.map((site) => ({ ...site, upstream: { kind: 'welcome' } as const })),
    })),
  }
}
