// A configuration as the program has it once it is read, for tests of what is done with one.
import type { Config } from '@reverse-proxy/shared/config/config'

/** Without listeners; what a test does not name is of no account to it. */
export function testConfig(settings: Partial<Config>): Config {
  return {
    workers: 2,
    user: undefined,
    group: undefined,
    stateDir: '',
    allowWildcardBind: false,
    healthCheckPort: 0,
    adminSocketPath: '',
    shutdownTimeoutMs: 1_000,
    recycle: { maxRssBytes: undefined, maxAgeMs: undefined },
    logging: { level: 'info', format: 'text', filePath: undefined },
    rateLimit: { requestsPerSecond: 1, burst: 1 },
    limits: {
      tlsHandshakeTimeoutMs: 1,
      requestHeaderTimeoutMs: 1,
      headerBytes: 1,
      headerCount: 1,
      keepAliveTimeoutMs: 1,
      bodyStallTimeoutMs: 1,
      connectionsPerWorker: 1,
      connectionsPerClient: 1,
      requestsPerConnection: 1,
      http2Streams: 1,
      upgradeIdleTimeoutMs: 1,
      upstreamConnectionsPerSite: 1,
    },
    listeners: [],
    passwordFiles: new Map(),
    ...settings,
  }
}
