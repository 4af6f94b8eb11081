// A site server behind a real TLS front, in this process.
import { randomBytes } from 'node:crypto'
import net from 'node:net'
import type { TestContext } from 'node:test'
import type {
  BanRule,
  ClientSettings,
  Limits,
  ProxyAction,
  RouteSettings,
  Site,
} from '@reverse-proxy/shared/config/config'
import type {
  OffenceReport,
  PasswordCheck,
  PasswordVerdict,
  PushedCertificate,
} from '@reverse-proxy/shared/ipc/messages'
import type { RequestEntry, UpstreamErrorEntry } from '../../src/observability/access-log-entry.ts'
import { NameResolver } from '@reverse-proxy/shared/names/name-resolver'
import { ConnectionBudget } from '../../src/upstream/connection-budget.ts'
import { UpstreamTrust } from '../../src/upstream/connections/trust.ts'
import { TrafficMetrics } from '../../src/observability/metrics.ts'
import { HttpsServer } from '../../src/listen/https-server.ts'
import { SiteServer } from '../../src/listen/site-server.ts'
import { ConnectionLimits } from '../../src/connection/connection-limits.ts'
import { ConnectionLimitLog } from '../../src/connection/connection-limit-log.ts'
import { systemTimers } from '../../src/node/timers.ts'
import { ADMITTED, type RateLimiter } from '../../src/ratelimit/limiter.ts'
import { ChallengeContexts, SiteContexts } from '../../src/tls/contexts.ts'
import { TrustedProxies } from '../../src/access/trusted-proxies.ts'
import { Bans } from '../../src/access/bans.ts'
import { PasswordChecks } from '../../src/access/password-checks.ts'
import { Arrivals } from '../../src/listen/arrivals.ts'
import { TlsAcceptor } from '../../src/tls/acceptor.ts'
import { makeCertificate } from './certificates.ts'
import { recordingLog, type Logged } from './front.ts'
import { listen } from '../../../../test/harness/ports.ts'

export const LIMITS: Limits = {
  tlsHandshakeTimeoutMs: 5_000,
  requestHeaderTimeoutMs: 5_000,
  headerBytes: 32_768,
  headerCount: 100,
  keepAliveTimeoutMs: 5_000,
  bodyStallTimeoutMs: 5_000,
  connectionsPerWorker: 1_000,
  connectionsPerClient: 1_000,
  requestsPerConnection: 1_000,
  http2Streams: 100,
  upgradeIdleTimeoutMs: 5_000,
  upstreamConnectionsPerSite: 16,
}

/** What a test may say about a site; `host` for a site with one. */
export interface SiteOptions extends Partial<Site>, Partial<Omit<ProxyAction, 'kind'>> {
  readonly host?: string
}

/** A site that sends everything to `port` of 127.0.0.1. */
export function siteOf(port: number, options: SiteOptions = {}): Site {
  const { host = 'a.example', routes = [], ...settings } = options
  return { hosts: [host], routes, ...settingsOf(port, settings) }
}

/** What a site says and a route may say in its stead. */
export function settingsOf(port: number, options: Omit<SiteOptions, 'host' | 'routes'> = {}): RouteSettings {
  const { upstream, balancing, connectTimeoutMs, requestTimeoutMs, stripPrefix, addPrefix, ...overrides } =
    options
  return {
    action: {
      kind: 'proxy',
      upstream: upstream ?? { kind: 'tcp', scheme: 'http', host: '127.0.0.1', port, caPem: undefined },
      ...(balancing && { balancing }),
      connectTimeoutMs: connectTimeoutMs ?? 2_000,
      requestTimeoutMs: requestTimeoutMs ?? 5_000,
      stripPrefix: stripPrefix ?? false,
      addPrefix: addPrefix ?? '',
    },
    bodyLimitBytes: 1_000_000,
    rateLimit: undefined,
    requestHeaders: [],
    responseHeaders: [],
    ...overrides,
  }
}

export interface RunningSiteServer {
  readonly port: number
  readonly server: SiteServer
  readonly requests: RequestEntry[]
  readonly upstreamErrors: UpstreamErrorEntry[]
  readonly connections: ConnectionLimits
  readonly logged: Logged[]
  readonly metrics: TrafficMetrics
  readonly bans: Bans
  /** What the supervisor would have been told. */
  readonly offences: OffenceReport['offences'][number][]
  /** Accepts nothing more. */
  readonly closeListener: () => void
}

export interface AccessOptions {
  readonly clients?: ClientSettings
  /** The general rule. */
  readonly ban?: BanRule
  /** In place of the supervisor. */
  readonly verifyPassword?: (check: PasswordCheck) => PasswordVerdict
}

/** Admits everybody. */
export const NO_RATE_LIMIT: Pick<RateLimiter, 'admit' | 'wait'> = { admit: () => ADMITTED, wait: () => {} }

let shared: PushedCertificate | undefined

/** For every name that tests serve. */
export function testCertificate(): PushedCertificate {
  shared ??= makeCertificate(['a.example', 'b.example', '*.wild.example'])
  return shared
}

export async function startSiteServer(
  t: TestContext,
  sites: readonly Site[],
  limits: Partial<Limits> = {},
  rateLimiter = NO_RATE_LIMIT,
  names = new NameResolver(),
  { clients, ban, verifyPassword = () => ({ kind: 'denied' }) }: AccessOptions = {},
): Promise<RunningSiteServer> {
  const requests: RequestEntry[] = []
  const upstreamErrors: UpstreamErrorEntry[] = []
  const logged: Logged[] = []
  const metrics = new TrafficMetrics()
  const log = recordingLog(logged)
  const allLimits = { ...LIMITS, ...limits }
  const budget = new ConnectionBudget()
  budget.configure(allLimits.upstreamConnectionsPerWorker ?? Infinity)
  const connections = new ConnectionLimits(allLimits)
  const connectionLimitLog = new ConnectionLimitLog(log, metrics, systemTimers)
  const proxies = clients === undefined ? undefined : new TrustedProxies(clients)
  const passwords = new PasswordChecks((check) => {
    const verdict = verifyPassword(check)
    setImmediate(() => passwords.onVerdict(check.seq, verdict))
  }, systemTimers)
  const offences: OffenceReport['offences'][number][] = []
  const bans = new Bans({
    send: (report) => offences.push(...report.offences),
    timers: systemTimers,
    seed: 1,
  })
  bans.configure({ ban, listeners: [{ sites, clients }] })
  const arrivals = new Arrivals(
    {
      proxies,
      proxyProtocol: clients?.proxyProtocol ?? false,
      headerTimeoutMs: allLimits.tlsHandshakeTimeoutMs,
    },
    { connections, connectionLimitLog, bans, log, metrics },
  )
  const server = new SiteServer(
    { sites, limits: allLimits, proxies },
    {
      accessLog: {
        request: (entry) => requests.push(entry),
        upstreamError: (entry) => upstreamErrors.push(entry),
        upstreamRetried: () => {},
      },
      log,
      metrics,
      rateLimiter,
      passwords,
      bans,
      isPlain: false,
      resolveWelcome: () => ({ host: '127.0.0.1', port: 1 }),
      upstreams: { trust: new UpstreamTrust(), names, budget, timers: systemTimers },
      connections,
      connectionLimitLog,
    },
  )
  const https = new HttpsServer(allLimits, undefined, { log, metrics, sites: server })
  const contexts = new SiteContexts(randomBytes(48))
  contexts.replace([testCertificate()])
  const front = new TlsAcceptor({
    contexts,
    challenges: new ChallengeContexts(),
    log,
    metrics,
    mode: 'serve',
    handshakeTimeoutMs: allLimits.tlsHandshakeTimeoutMs,
    serve: (socket, peeked) => https.adopt(socket, peeked),
  })
  const listener = net.createServer({ noDelay: true }, (socket) =>
    arrivals.accept(socket, (arrival) => front.accept(socket, arrival)),
  )
  const port = await listen(t, listener)
  t.after(() => void server.drain(0))
  return {
    port,
    server,
    requests,
    upstreamErrors,
    connections,
    logged,
    metrics,
    bans,
    offences,
    closeListener: () => listener.close(),
  }
}
