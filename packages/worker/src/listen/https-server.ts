// The HTTPS side of one listener: HTTP/1.1 and HTTP/2 on connections that the TLS front has looked at.
// Owns the TLS server, which never listens, and every connection handed to it; what is done with
// a request is the pipeline's.
import type { Socket } from 'node:net'
import type { Server, TLSSocket } from 'node:tls'
import type { Limits, Site } from '@reverse-proxy/shared/config/config'
import { codeOf } from '@reverse-proxy/shared/error-text'
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
import { ProxyHandler } from '../pipeline/handlers/proxy.ts'
import { Pipeline } from '../pipeline/pipeline.ts'
import { BodyLimitStage } from '../pipeline/stages/body-limit.ts'
import { DispatchStage } from '../pipeline/stages/dispatch.ts'
import { AccessStage } from '../pipeline/stages/access.ts'
import { AuthenticateStage } from '../pipeline/stages/authenticate.ts'
import { ClientStage } from '../pipeline/stages/client.ts'
import type { PasswordChecks } from '../access/password-checks.ts'
import type { TrustedProxies } from '../access/trusted-proxies.ts'
import { ParseStage } from '../pipeline/stages/parse.ts'
import { RateLimitStage, type RateLimitDecisions } from '../pipeline/stages/rate-limit.ts'
import { RouteStage } from '../pipeline/stages/route.ts'
import { SESSION_ID_CONTEXT, TLS_OPTIONS } from '../tls/policy.ts'
import { connectionInfoOf, type ConnectionInfo } from '../connection/connection-info.ts'
import type { AccessLog } from '../observability/access-log-entry.ts'
import { ClientConnections } from '../connection/client-connections.ts'
import type { Exchange, ExchangeDeps } from '../protocol/exchange.ts'
import { Http1Server } from '../protocol/http1/server.ts'
import { Http2Connections } from './http2-connections.ts'
import { createTlsServer } from '../node/tls-server.ts'

export interface HttpsServerSettings {
  readonly sites: readonly Site[]
  readonly limits: Limits
  /** Undefined: no proxy in front is trusted. */
  readonly proxies?: TrustedProxies | undefined
}

export interface HttpsServerDeps {
  readonly accessLog: AccessLog
  readonly log: Log
  readonly metrics: EventCounter
  readonly rateLimiter: RateLimitDecisions
  readonly passwords: PasswordChecks
  /** 48 bytes, the same in all workers. */
  readonly ticketKeys: Uint8Array
  /** Where the built-in welcome upstream of this worker listens. */
  readonly resolveWelcome: () => WelcomeAddress
  readonly upstreams: UpstreamDeps
  /** Those of the TLS front: a tunnel over HTTP/2 counts as one more. */
  readonly connections: ConnectionLimits
  readonly connectionLimitLog: ConnectionLimitLog
}

export class HttpsServer {
  readonly #log: Log
  readonly #metrics: EventCounter
  readonly #server: Server
  readonly #tunnels = new Tunnels()
  readonly #connections = new ClientConnections(() => this.#http1.closeIdle(), this.#tunnels)
  readonly #handshakes = new Map<ConnectionInfo, NodeJS.Timeout>()
  readonly #http1: Http1Server
  readonly #http2: Http2Connections
  readonly #routes: CompiledSites
  readonly #pipeline: Pipeline
  readonly #exchangeDeps: ExchangeDeps
  readonly #stalls: WriteTimeouts
  readonly #sweep: NodeJS.Timeout
  #limits: Limits
  #proxies: TrustedProxies | undefined

  constructor(settings: HttpsServerSettings, deps: HttpsServerDeps) {
    this.#log = deps.log
    this.#metrics = deps.metrics
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
      deps.resolveWelcome,
      deps.upstreams,
      (route) => new ProxyHandler(route, proxyDeps),
    )
    this.#routes.configure(settings.sites, settings.limits)
    const resume = (exchange: Exchange): void => this.#pipeline.resume(exchange)
    this.#pipeline = new Pipeline(
      [
        new ParseStage(limits),
        new ClientStage(() => this.#proxies),
        new RouteStage(() => this.#routes.router),
        new AccessStage(),
        new RateLimitStage(deps.rateLimiter, log, deps.metrics, resume),
        new AuthenticateStage(deps.passwords, log, deps.metrics, resume),
        new BodyLimitStage(),
        new DispatchStage(),
      ],
      log,
    )
    this.#stalls = new WriteTimeouts(() => this.#limits.bodyStallTimeoutMs, nowMs, log, deps.metrics)
    this.#sweep = setInterval(() => {
      // First: it finds out which connections have been sending.
      this.#http2.sweep()
      this.#stalls.sweep()
      // Bytes that have arrived meanwhile are read first: no deadline counts the time we stood still.
      setImmediate(() => this.#http1.sweep())
    }, SWEEP_INTERVAL_MS).unref()
    this.#exchangeDeps = { accessLog, stalls: this.#stalls, nowMs }
    this.#http1 = new Http1Server(settings.limits, {
      exchange: this.#exchangeDeps,
      log,
      metrics: deps.metrics,
      handle: (exchange) => this.#pipeline.run(exchange),
      isDraining: () => this.#connections.isDraining,
    })
    this.#http2 = new Http2Connections(settings.limits, {
      log,
      metrics: deps.metrics,
      exchange: this.#exchangeDeps,
      connections: this.#connections,
      handle: (exchange) => this.#pipeline.run(exchange),
    })
    this.#server = createTlsServer({
      limits: settings.limits,
      ticketKeys: deps.ticketKeys,
      sessionIdContext: SESSION_ID_CONTEXT,
      tls: TLS_OPTIONS,
      contextOf: (socket) => connectionInfoOf(socket).context.secureContext,
    })
    this.#listen()
  }

  /** A socket from the TLS front: nothing but the ClientHello has been read, and that has been put back. */
  adopt(socket: Socket, peeked: ConnectionInfo): void {
    this.#connections.add(socket)
    // The runtime's own handshake timeout starts anew with every byte.
    const leftMs = peeked.acceptedMs + this.#limits.tlsHandshakeTimeoutMs - nowMs()
    const timer = setTimeout(() => {
      this.#metrics.count('tls_rejected', 'timeout')
      this.#log.warn('TLS_REJECTED', { client_ip: peeked.clientIp, reason: 'timeout' })
      socket.destroy()
    }, leftMs)
    this.#handshakes.set(peeked, timer)
    socket.once('close', () => this.#endHandshake(peeked))
    socket.on('error', ignore)
    this.#server.emit('connection', socket)
  }

  /** Number of open connections, upgraded ones included. */
  get connectionCount(): number {
    return this.#connections.size
  }

  /** In place, from the next request on (the deadline of a handshake: the next connection). */
  configure({ sites, limits, proxies }: HttpsServerSettings): void {
    this.#limits = limits
    this.#proxies = proxies
    this.#routes.configure(sites, limits)
    this.#http1.configure(limits)
    this.#http2.configure(limits)
  }

  setTicketKeys(ticketKeys: Uint8Array): void {
    this.#server.setTicketKeys(Buffer.from(ticketKeys))
  }

  /** Finishes what is in flight; cuts what is left after `timeoutMs`. Again: with less time. */
  async drain(timeoutMs: number, mayStillAdopt?: () => boolean): Promise<void> {
    await this.#connections.drain(timeoutMs, mayStillAdopt)
    clearInterval(this.#sweep)
    this.#routes.close()
  }

  #listen(): void {
    const server = this.#server
    server.on('secureConnection', (socket) => this.#onSecure(socket))
    server.prependListener('tlsClientError', (error, socket) => this.#onTlsError(error, socket))
    server.on('error', (error) => this.#log.error('INTERNAL_ERROR', { error: error.message }))
  }

  #endHandshake(peeked: ConnectionInfo): void {
    clearTimeout(this.#handshakes.get(peeked))
    this.#handshakes.delete(peeked)
  }

  #onSecure(socket: TLSSocket): void {
    const peeked = connectionInfoOf(socket)
    this.#endHandshake(peeked)
    const resumed = socket.isSessionReused()
    this.#metrics.count('tls_handshake', String(resumed))
    this.#log.debug('TLS_ESTABLISHED', { client_ip: peeked.clientIp, resumed })
    if (socket.alpnProtocol === 'h2') this.#http2.adopt(socket, peeked)
    else this.#http1.adopt(socket, peeked)
  }

  #onTlsError(cause: Error, socket: TLSSocket): void {
    const clientIp = connectionInfoOf(socket).clientIp
    const error = codeOf(cause) ?? cause.message
    // A client that just hangs up is not worth an info line.
    const level = error.startsWith('ERR_SSL') ? 'info' : 'debug'
    this.#metrics.count('tls_failed', error)
    this.#log[level]('TLS_FAILED', { client_ip: clientIp, error })
    socket.destroy()
  }
}

function ignore(): void {}
