// The plain-HTTP port of one listener: ACME challenges first, then a redirect to HTTPS, and nothing else.
// Owns the runtime's server, which never listens: its connections are handed to it.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { Socket } from 'node:net'
import type { Limits, Site } from '@reverse-proxy/shared/config/config'
import { siteNameOf } from '@reverse-proxy/shared/config/sites'
import type { Log } from '@reverse-proxy/shared/log-fields'
import { WriteTimeouts } from '../protocol/write-timeouts.ts'
import { startDeadlines } from '../node/http-server.ts'
import { nowMs } from '../node/timers.ts'
import type { EventCounter } from '../observability/metrics.ts'
import { HttpsRedirectHandler } from '../pipeline/handlers/redirect.ts'
import { Pipeline } from '../pipeline/pipeline.ts'
import { DONE, NEXT, type StageResult } from '../pipeline/stage.ts'
import { AcmeHttp01Stage } from '../pipeline/stages/acme-http-01.ts'
import { DispatchStage } from '../pipeline/stages/dispatch.ts'
import { ClientStage } from '../pipeline/stages/client.ts'
import type { TrustedProxies } from '../access/trusted-proxies.ts'
import { ParseStage } from '../pipeline/stages/parse.ts'
import { RateLimitStage, type RateLimitDecisions } from '../pipeline/stages/rate-limit.ts'
import { RouteStage } from '../pipeline/stages/route.ts'
import type { ServingMode } from '../tls/sni-policy.ts'
import type { AccessLog } from '../observability/access-log-entry.ts'
import { Http1Connection } from '../connection/client-connection.ts'
import { ClientConnections } from '../connection/client-connections.ts'
import { sendClientError } from '../protocol/client-error.ts'
import type { Exchange, ServedRoute } from '../protocol/exchange.ts'
import { sendText } from '../protocol/error-response.ts'
import { Http1RequestQueue } from '../protocol/http1-request-queue.ts'
import { Router } from '../pipeline/router.ts'
import { http1Timeouts, runtimeHeaderBytes, SWEEP_INTERVAL_MS } from '../node/server-options.ts'

export interface PlainHttpSettings {
  readonly sites: readonly Site[]
  readonly limits: Limits
  readonly httpsPort: number
  /** Undefined: no proxy in front is trusted. */
  readonly proxies?: TrustedProxies | undefined
}

export interface PlainHttpDeps {
  readonly accessLog: AccessLog
  readonly log: Log
  readonly metrics: EventCounter
  readonly rateLimiter: RateLimitDecisions
  /** The response for the token of an armed http-01 challenge. */
  readonly keyAuthorizationOf: (token: string) => string | undefined
}

export class PlainHttpServer {
  readonly #server: Server
  readonly #deps: PlainHttpDeps
  readonly #sweep: NodeJS.Timeout
  readonly #connections: ClientConnections
  readonly #requests: Http1RequestQueue
  readonly #clientIps = new WeakMap<Socket, string>()
  #settings: PlainHttpSettings
  readonly #pipeline: Pipeline
  #router = new Router<ServedRoute>([])
  #mode: ServingMode

  constructor(settings: PlainHttpSettings, mode: ServingMode, deps: PlainHttpDeps) {
    this.#deps = deps
    this.#mode = mode
    this.#settings = settings
    const stalls = new WriteTimeouts(
      () => this.#settings.limits.bodyStallTimeoutMs,
      nowMs,
      deps.log,
      deps.metrics,
    )
    this.#sweep = setInterval(() => stalls.sweep(), SWEEP_INTERVAL_MS).unref()
    this.#requests = new Http1RequestQueue(
      {
        accessLog: deps.accessLog,
        stalls,
        nowMs,
        requestsPerConnection: () => this.#settings.limits.requestsPerConnection,
      },
      (socket) => {
        const clientIp = this.#clientIps.get(socket) ?? ''
        return new Http1Connection(socket, { clientIp }, this.#connections)
      },
      (exchange) => this.#pipeline.run(exchange),
    )
    this.#pipeline = new Pipeline(
      [
        new ParseStage(() => this.#settings.limits),
        { run: closeAfterBody },
        new ClientStage(() => this.#settings.proxies),
        new AcmeHttp01Stage(deps.keyAuthorizationOf),
        { run: (exchange) => this.#refuseWhileStarting(exchange) },
        new RouteStage(() => this.#router),
        new RateLimitStage(deps.rateLimiter, deps.log, deps.metrics, (exchange) =>
          this.#pipeline.resume(exchange),
        ),
        new DispatchStage(),
      ],
      deps.log,
    )
    const { limits } = settings
    this.#server = createServer({
      ...http1Timeouts(limits),
      maxHeaderSize: runtimeHeaderBytes(limits),
      requestTimeout: 0,
      noDelay: true,
      // A missing Host is answered here, in our own words.
      requireHostHeader: false,
      shouldUpgradeCallback: (req) => {
        this.#requests.connectionOf(req.socket).mustCloseAfterRequest = true
        return false
      },
    })
    this.#server.maxHeadersCount = 0
    this.#connections = new ClientConnections(() => this.#server.closeIdleConnections())
    this.configure(settings)
    this.#listen()
  }

  configure(settings: PlainHttpSettings): void {
    this.#settings = settings
    const { sites, limits, httpsPort } = settings
    const handler = new HttpsRedirectHandler(httpsPort)
    this.#router = new Router(
      sites.flatMap((site) => {
        const route = { siteName: siteNameOf(site), settings: site, filters: [], handler }
        return site.hosts.map((host) => [host, route] as const)
      }),
    )
    Object.assign(this.#server, http1Timeouts(limits), { maxHeaderSize: runtimeHeaderBytes(limits) })
  }

  /** A socket nobody has touched, from whichever of the listener's addresses. */
  adopt(socket: Socket, clientIp: string): void {
    this.#clientIps.set(socket, clientIp)
    this.#connections.add(socket)
    socket.on('error', ignore)
    this.#server.emit('connection', socket)
  }

  setServingMode(mode: ServingMode): void {
    this.#mode = mode
  }

  async drain(timeoutMs: number): Promise<void> {
    await this.#connections.drain(timeoutMs)
    clearInterval(this.#sweep)
  }

  #listen(): void {
    const server = this.#server
    const onRequest = (req: IncomingMessage, res: ServerResponse): void => this.#requests.onRequest(req, res)
    server.on('request', onRequest)
    server.on('checkContinue', onRequest)
    server.on('checkExpectation', onRequest)
    // The method is refused like any other that is not allowed.
    server.on('connect', (req, _socket, head) => this.#requests.onUpgrade(req, head))
    server.on('clientError', (error, socket) => {
      if (!(socket instanceof Socket)) return
      sendClientError(error, this.#requests.connectionOf(socket), {
        log: this.#deps.log,
        metrics: this.#deps.metrics,
        headTimeoutMs: this.#settings.limits.requestHeaderTimeoutMs,
      })
    })
    startDeadlines(server)
  }

  /** There is no certificate for the HTTPS port yet. */
  #refuseWhileStarting(exchange: Exchange): StageResult {
    if (this.#mode !== 'challenge') return NEXT
    sendText(exchange, 503)
    return DONE
  }
}

/** Nothing here reads a body. */
function closeAfterBody(exchange: Exchange): StageResult {
  if (exchange.mayHaveBody) exchange.closeAfterwards()
  return NEXT
}

function ignore(): void {}
