// One listener of the configuration as a worker runs it: sockets -> arrivals -> TLS entrance -> site server, without the
// entrance where the listener speaks plain HTTP. Passes on what the supervisor pushes.
import type { Socket } from 'node:net'
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
import type { Bans } from '../access/bans.ts'
import { TrustedProxies } from '../access/trusted-proxies.ts'
import { Arrivals, type Arrival, type ArrivalSettings } from './arrivals.ts'
import { BoundSockets } from './bound-sockets.ts'
import type { UpstreamDeps } from '../upstream/upstream.ts'
import type { AccessLog } from '../observability/access-log-entry.ts'
import { SiteServer } from './site-server.ts'
import { TlsEntrance } from './tls-entrance.ts'
import type { ConnectionLimits } from '../connection/connection-limits.ts'
import type { EventCounter } from '../observability/metrics.ts'
import { ConnectionLimitLog } from '../connection/connection-limit-log.ts'
import { systemTimers } from '../node/timers.ts'
import type { RateLimitDecisions } from '../pipeline/stages/rate-limit.ts'
import type { Welcome } from '../welcome/server.ts'

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
  readonly bans: Bans
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
  readonly #sites: SiteServer
  /** Undefined: plain HTTP. */
  readonly #tls: TlsEntrance | undefined

  constructor(options: TrafficListenerOptions) {
    const { config, workerConfig, log, metrics, accessLog, bans, connections, rateLimiter } = options
    this.#config = config
    const connectionLimitLog = new ConnectionLimitLog(log, metrics, systemTimers)
    const proxies = trustedProxiesOf(config.clients)
    this.#arrivals = new Arrivals(arrivalSettings(config, workerConfig.limits, proxies), {
      connections,
      connectionLimitLog,
      bans,
      log,
      metrics,
    })
    this.#sockets = new BoundSockets(options.inheritedSockets)
    this.#sites = new SiteServer(
      { sites: config.sites, limits: workerConfig.limits, proxies },
      {
        accessLog,
        log,
        metrics,
        rateLimiter,
        passwords: options.passwords,
        bans,
        upstreams: options.upstreams,
        connections,
        connectionLimitLog,
        isPlain: config.httpsPort === 0,
        resolveWelcome: () => {
          if (options.welcome === undefined)
            throw new Error('no site of this worker wants the welcome upstream')
          return options.welcome
        },
      },
    )
    if (config.httpsPort === 0) return
    this.#tls = new TlsEntrance(
      { ...config, limits: workerConfig.limits, proxies },
      { log, metrics, accessLog, rateLimiter, bans, ticketKeys: options.ticketKeys, sites: this.#sites },
    )
    this.setCertificates(options.certificates)
    this.setChallenges(options.challenges)
  }

  /** @throws BindError */
  async bind(): Promise<void> {
    const { bindAddrs, httpsPort, httpPort } = this.#config
    const tls = this.#tls
    const bind = async (port: number, serve: (socket: Socket, arrival: Arrival) => void): Promise<void> =>
      await this.#sockets.bind(bindAddrs, port, (socket) =>
        this.#arrivals.accept(socket, (arrival) => serve(socket, arrival)),
      )
    if (tls === undefined) {
      await bind(httpPort, (socket, arrival) => this.#servePlain(socket, arrival))
      return
    }
    await bind(httpsPort, (socket, arrival) => tls.acceptTls(socket, arrival))
    if (httpPort !== 0) await bind(httpPort, (socket, arrival) => tls.acceptHttp(socket, arrival))
  }

  /** Applies in place; the addresses and ports stay. */
  configure(config: WorkerListener, { limits }: WorkerConfig): void {
    const { sites } = config
    const proxies = trustedProxiesOf(config.clients)
    this.#arrivals.configure(arrivalSettings(config, limits, proxies))
    this.#sites.configure({ sites, limits, proxies })
    this.#tls?.configure({ ...config, limits, proxies })
  }

  get servedSerials(): ServedSerials {
    return { listenerId: this.#config.id, serials: this.#tls?.serials ?? [] }
  }

  /**
   * Without any, the listener answers challenges only.
   * @throws ProxyError CERTIFICATE; nothing has changed then
   */
  setCertificates(certificates: readonly PushedCertificate[]): void {
    this.#tls?.setCertificates(certificates)
  }

  /** @throws ProxyError CERTIFICATE; nothing has changed then */
  setChallenges(challenges: readonly ArmedChallenge[]): void {
    this.#tls?.setChallenges(challenges)
  }

  setTicketKeys(ticketKeys: Uint8Array): void {
    this.#tls?.setTicketKeys(ticketKeys)
  }

  /** Stops accepting, finishes requests in flight, cuts the rest after `timeoutMs`. Another call can shorten it. */
  async drain(timeoutMs: number): Promise<void> {
    // Connections that no worker has accepted yet wait in the kernel for the other workers.
    this.#sockets.close()
    const mayStillServe = (): boolean => (this.#tls?.size ?? 0) + this.#arrivals.size > 0
    await Promise.all([
      this.#sites.drain(timeoutMs, mayStillServe),
      this.#tls?.drain(timeoutMs, mayStillServe),
    ])
    this.#tls?.close()
  }

  #servePlain(socket: Socket, { clientIp }: Arrival): void {
    this.#sites.track(socket)
    this.#sites.serveHttp1(socket, { clientIp })
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
