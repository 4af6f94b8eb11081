// One listener of the configuration as a worker runs it: sockets -> TLS front -> site server, and
// beside it the redirect server. Puts the rooms together and passes on what the supervisor pushes.
import type { ClientSettings, Limits } from '@reverse-proxy/shared/config/config'
import type {
  ArmedChallenge,
  InheritedSocket,
  PushedCertificate,
  ServedSerials,
  WorkerConfig,
  WorkerListener,
} from '@reverse-proxy/shared/ipc/messages'
import type { Log } from '@reverse-proxy/shared/log-fields'
import type { PasswordChecks } from '../access/password-checks.ts'
import { TrustedProxies } from '../access/trusted-proxies.ts'
import { Arrivals, type ArrivalSettings } from './arrivals.ts'
import { BoundSockets } from './bound-sockets.ts'
import type { UpstreamDeps } from '../upstream/upstream.ts'
import type { AccessLog } from '../observability/access-log-entry.ts'
import { PlainHttpServer } from './http-server.ts'
import { HttpsServer } from './https-server.ts'
import type { ConnectionLimits } from '../connection/connection-limits.ts'
import type { EventCounter } from '../observability/metrics.ts'
import { ConnectionLimitLog } from '../connection/connection-limit-log.ts'
import { afterAwake, systemTimers } from '../node/timers.ts'
import { ChallengeContexts, SiteContexts } from '../tls/contexts.ts'
import { TlsAcceptor } from '../tls/acceptor.ts'
import type { RateLimitDecisions } from '../pipeline/stages/rate-limit.ts'
import type { Welcome } from '../welcome/server.ts'

/**
 * A client whose ClientHello is under way when the drain begins is still served; this long is waited for it. A lost
 * packet is sent again after 1 s (RFC 6298 2.1), and once more 2 s later.
 */
const HELLO_GRACE_MS = 3_500

export interface TrafficListenerOptions {
  readonly config: WorkerListener
  readonly workerConfig: WorkerConfig
  readonly certificates: readonly PushedCertificate[]
  readonly challenges: readonly ArmedChallenge[]
  readonly ticketKeys: Uint8Array
  readonly inheritedSockets: readonly InheritedSocket[]
  /** Shared by all listeners of the worker. */
  readonly connections: ConnectionLimits
  readonly rateLimiter: RateLimitDecisions
  readonly passwords: PasswordChecks
  readonly log: Log
  readonly metrics: EventCounter
  readonly accessLog: AccessLog
  readonly welcome: Welcome | undefined
  /** Shared by all listeners of the worker. */
  readonly upstreams: UpstreamDeps
}

export class TrafficListener {
  readonly #config: WorkerListener
  readonly #arrivals: Arrivals
  readonly #sockets: BoundSockets
  readonly #contexts = new SiteContexts()
  readonly #challengeContexts = new ChallengeContexts()
  #keyAuthorizations: ReadonlyMap<string, string> = new Map()
  readonly #front: TlsAcceptor
  readonly #sites: HttpsServer
  readonly #redirect: PlainHttpServer

  constructor(options: TrafficListenerOptions) {
    const { config, workerConfig, log, metrics, accessLog, connections, rateLimiter } = options
    this.#config = config
    const connectionLimitLog = new ConnectionLimitLog(log, metrics, systemTimers)
    const proxies = trustedProxiesOf(config.clients)
    this.#arrivals = new Arrivals(arrivalSettings(config, workerConfig.limits, proxies), {
      connections,
      connectionLimitLog,
      log,
      metrics,
    })
    this.#sockets = new BoundSockets(options.inheritedSockets)
    this.#sites = new HttpsServer(
      { sites: config.sites, limits: workerConfig.limits, proxies },
      {
        accessLog,
        log,
        metrics,
        rateLimiter,
        passwords: options.passwords,
        ticketKeys: options.ticketKeys,
        upstreams: options.upstreams,
        connections,
        connectionLimitLog,
        resolveWelcome: () => {
          if (options.welcome === undefined)
            throw new Error('no site of this worker wants the welcome upstream')
          return options.welcome
        },
      },
    )
    this.#front = new TlsAcceptor({
      contexts: this.#contexts,
      challenges: this.#challengeContexts,
      log,
      metrics,
      mode: 'challenge',
      handshakeTimeoutMs: workerConfig.limits.tlsHandshakeTimeoutMs,
      serve: (socket, peeked) => this.#sites.adopt(socket, peeked),
    })
    this.#redirect = new PlainHttpServer(
      { sites: config.sites, limits: workerConfig.limits, httpsPort: config.httpsPort, proxies },
      'challenge',
      {
        accessLog,
        log,
        metrics,
        rateLimiter,
        keyAuthorizationOf: (token) => this.#keyAuthorizations.get(token),
      },
    )
    this.setCertificates(options.certificates)
    this.setChallenges(options.challenges)
  }

  /** @throws BindError */
  async bind(): Promise<void> {
    const { bindAddrs, httpsPort, httpPort } = this.#config
    await this.#sockets.bind(bindAddrs, httpsPort, (socket) =>
      this.#arrivals.accept(socket, (arrival) => this.#front.accept(socket, arrival)),
    )
    if (httpPort === 0) return
    await this.#sockets.bind(bindAddrs, httpPort, (socket) =>
      this.#arrivals.accept(socket, ({ clientIp }) => this.#redirect.adopt(socket, clientIp)),
    )
  }

  /** In place; the addresses and ports stay. */
  configure(config: WorkerListener, { limits }: WorkerConfig): void {
    const { sites, httpsPort, clients } = config
    const proxies = trustedProxiesOf(clients)
    this.#arrivals.configure(arrivalSettings(config, limits, proxies))
    this.#sites.configure({ sites, limits, proxies })
    this.#redirect.configure({ sites, limits, httpsPort, proxies })
    this.#front.setHandshakeTimeout(limits.tlsHandshakeTimeoutMs)
  }

  get servedSerials(): ServedSerials {
    return { listenerId: this.#config.id, serials: this.#contexts.serials }
  }

  /**
   * Without any, the listener answers challenges only.
   * @throws ProxyError CERTIFICATE; nothing has changed then
   */
  setCertificates(certificates: readonly PushedCertificate[]): void {
    this.#contexts.replace(certificates)
    const mode = certificates.length === 0 ? 'challenge' : 'serve'
    this.#front.setServingMode(mode)
    this.#redirect.setServingMode(mode)
  }

  /** @throws ProxyError CERTIFICATE; nothing has changed then */
  setChallenges(challenges: readonly ArmedChallenge[]): void {
    this.#challengeContexts.replace(challenges)
    const http01 = challenges.filter((challenge) => challenge.type === 'http-01')
    this.#keyAuthorizations = new Map(http01.map(({ token, keyAuthorization }) => [token, keyAuthorization]))
  }

  setTicketKeys(ticketKeys: Uint8Array): void {
    this.#sites.setTicketKeys(ticketKeys)
  }

  /** Accepts nothing more, finishes what is in flight, cuts what is left after `timeoutMs`. Again: with less time. */
  async drain(timeoutMs: number): Promise<void> {
    // Connections that no worker has accepted yet wait in the kernel for the other workers.
    this.#sockets.close()
    afterAwake(Math.min(HELLO_GRACE_MS, timeoutMs), () => this.#front.close())
    const mayStillServe = (): boolean => this.#front.size + this.#arrivals.size > 0
    await Promise.all([
      this.#sites.drain(timeoutMs, mayStillServe),
      this.#redirect.drain(timeoutMs, mayStillServe),
    ])
    this.#front.close()
  }
}

function trustedProxiesOf(clients: ClientSettings | undefined): TrustedProxies | undefined {
  return clients === undefined ? undefined : new TrustedProxies(clients)
}

function arrivalSettings(
  { clients }: WorkerListener,
  limits: Limits,
  proxies: TrustedProxies | undefined,
): ArrivalSettings {
  return {
    proxies,
    proxyProtocol: clients?.proxyProtocol ?? false,
    headerTimeoutMs: limits.tlsHandshakeTimeoutMs,
  }
}
