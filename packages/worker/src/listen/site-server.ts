// Serves the sites of one listener on connections that are ready for HTTP/1 or HTTP/2, with TLS below or without.
// Owns every connection of the sites from its first byte on; the pipeline handles the requests.
import type { Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import type { Limits, Site } from '@reverse-proxy/shared/config/config'
import type { Log } from '@reverse-proxy/shared/log-fields'
import { createWebSocketProxy } from '../tunnel/http-proxy.ts'
import { CompiledSites, type WelcomeAddress } from '../pipeline/sites.ts'
import { WriteTimeouts } from '../protocol/write-timeouts.ts'
import { nowMs, SWEEP_INTERVAL_MS } from '../node/timers.ts'
import type { EventCounter } from '../observability/metrics.ts'
import { Tunnels } from '../tunnel/tunnels.ts'
import type { UpstreamDeps } from '../upstream/upstream.ts'
import type { ConnectionLimits } from '../connection/connection-limits.ts'
import type { ConnectionLimitLog } from '../connection/connection-limit-log.ts'
import { ForwardAuth } from '../pipeline/gates/forward-auth.ts'
import { ProxyHandler } from '../pipeline/handlers/proxy.ts'
import { Pipeline } from '../pipeline/pipeline.ts'
import { createStages } from './stage-order.ts'
import type { Bans } from '../access/bans.ts'
import type { PasswordChecks } from '../access/password-checks.ts'
import type { TrustedProxies } from '../access/trusted-proxies.ts'
import type { RateLimitDecisions } from '../pipeline/stages/rate-limit.ts'
import type { ConnectionInfo } from '../connection/connection-info.ts'
import type { AccessLog } from '../observability/access-log-entry.ts'
import { ClientConnections } from '../connection/client-connections.ts'
import type { Exchange } from '../protocol/exchange.ts'
import type { Http1Client } from '../protocol/http1/connection.ts'
import { Http1Server } from '../protocol/http1/server.ts'
import { Http2Connections } from './http2-connections.ts'

export interface SiteServerSettings {
  readonly sites: readonly Site[]
  readonly limits: Limits
  /** Undefined: no proxy in front is trusted. */
  readonly proxies?: TrustedProxies | undefined
}

export interface SiteServerDeps {
  readonly accessLog: AccessLog
  readonly log: Log
  readonly metrics: EventCounter
  readonly rateLimiter: RateLimitDecisions
  readonly passwords: PasswordChecks
  readonly bans: Bans
  /** No TLS. */
  readonly isPlain: boolean
  /** Where the built-in welcome upstream of this worker listens. */
  readonly resolveWelcome: () => WelcomeAddress
  readonly upstreams: UpstreamDeps
  /** Those of the listener: a tunnel over HTTP/2 counts as one more connection. */
  readonly connections: ConnectionLimits
  readonly connectionLimitLog: ConnectionLimitLog
}

export class SiteServer {
  readonly #tunnels = new Tunnels()
  readonly #connections = new ClientConnections(() => this.#http1.closeIdle(), this.#tunnels)
  readonly #http1: Http1Server
  readonly #http2: Http2Connections
  readonly #routes: CompiledSites
  readonly #pipeline: Pipeline
  readonly #stalls: WriteTimeouts
  readonly #sweep: NodeJS.Timeout
  #limits: Limits
  #proxies: TrustedProxies | undefined

  constructor(settings: SiteServerSettings, deps: SiteServerDeps) {
    this.#limits = settings.limits
    this.#proxies = settings.proxies
    const { accessLog, log, connections, connectionLimitLog } = deps
    const limits = (): Limits => this.#limits
    const proxyDeps = {
      accessLog,
      limits,
      connections,
      connectionLimitLog,
      tunnels: this.#tunnels,
      webSocketProxy: createWebSocketProxy(),
    }
    this.#routes = new CompiledSites(
      deps.isPlain,
      deps.resolveWelcome,
      deps.upstreams,
      (route) => new ProxyHandler(route, proxyDeps),
      (auth, upstream) => new ForwardAuth(auth, upstream, accessLog),
    )
    this.#routes.configure(settings.sites, settings.limits)
    const resume = (exchange: Exchange): void => this.#pipeline.resume(exchange)
    this.#pipeline = new Pipeline(
      createStages({
        ...deps,
        limits,
        proxies: () => this.#proxies,
        router: () => this.#routes.router,
        resume,
      }).map(({ stage }) => stage),
      log,
    )
    this.#stalls = new WriteTimeouts(() => this.#limits.bodyStallTimeoutMs, nowMs, log, deps.metrics)
    this.#sweep = setInterval(() => {
      // First, because it notes which connections have sent something.
      this.#http2.sweep()
      this.#stalls.sweep()
      // Bytes that have arrived meanwhile are read first: no deadline counts the time we stood still.
      setImmediate(() => this.#http1.sweep())
    }, SWEEP_INTERVAL_MS).unref()
    const exchangeDeps = { accessLog, stalls: this.#stalls, bans: deps.bans, nowMs }
    this.#http1 = new Http1Server(settings.limits, {
      exchange: exchangeDeps,
      log,
      metrics: deps.metrics,
      handle: (exchange) => this.#pipeline.run(exchange),
      isDraining: () => this.#connections.isDraining,
    })
    this.#http2 = new Http2Connections(settings.limits, {
      log,
      metrics: deps.metrics,
      exchange: exchangeDeps,
      connections: this.#connections,
      handle: (exchange) => this.#pipeline.run(exchange),
    })
  }

  /** Call with every accepted socket, before its TLS handshake: a drain waits for it. */
  track(socket: Socket): void {
    this.#connections.add(socket)
  }

  /** @param socket a tracked one, or TLS on top of it */
  serveHttp1(socket: Socket, client: Http1Client): void {
    this.#http1.adopt(socket, client)
  }

  serveHttp2(socket: TLSSocket, client: ConnectionInfo): void {
    this.#http2.adopt(socket, client)
  }

  /** Number of open connections, upgraded ones included. */
  get connectionCount(): number {
    return this.#connections.size
  }

  /** Applies in place, from the next request on. */
  configure({ sites, limits, proxies }: SiteServerSettings): void {
    this.#limits = limits
    this.#proxies = proxies
    this.#routes.configure(sites, limits)
    this.#http1.configure(limits)
    this.#http2.configure(limits)
  }

  /** Finishes the requests in flight; cuts the rest after `timeoutMs`. Another call can shorten the time. */
  async drain(timeoutMs: number, mayStillAdopt?: () => boolean): Promise<void> {
    await this.#connections.drain(timeoutMs, mayStillAdopt)
    clearInterval(this.#sweep)
    this.#routes.close()
  }
}
