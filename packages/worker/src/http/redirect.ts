// The plain-HTTP side of one listener: ACME challenges first, then a redirect to HTTPS, and nothing else.
// Its server never listens either: it is given its connections.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { Socket } from 'node:net'
import { foldMappedAddress } from '@reverse-proxy/shared/client-key'
import type { Limits, Site } from '@reverse-proxy/shared/config/config'
import { ProxyError } from '@reverse-proxy/shared/errors'
import type { Stage } from '@reverse-proxy/shared/ipc/messages'
import type { Log } from '@reverse-proxy/shared/log-fields'
import { rateScopeOf } from '@reverse-proxy/shared/rate-limits'
import { AnswerStalls } from '../limits/answer-stalls.ts'
import type { RateGate } from '../limits/rate-gate.ts'
import type { AccessLog } from './access-log-entry.ts'
import { Http1Connection } from './client-connection.ts'
import { ClientConnections } from './client-connections.ts'
import { answerClientError } from './client-error.ts'
import type { ClientExchange } from './client-exchange.ts'
import { answerError, answerText } from './error-response.ts'
import { parseRequest } from './framing.ts'
import { Http1Exchange, type Http1Deps } from './http1-exchange.ts'
import { Router } from './router.ts'
import { http1Timeouts, runtimeHeaderBytes, SWEEP_INTERVAL_MS } from './runtime-limits.ts'
import { UpgradeExchange } from './upgrade-exchange.ts'

export interface RedirectSettings {
  readonly sites: readonly Site[]
  readonly limits: Limits
  readonly httpsPort: number
}

export interface RedirectDeps {
  readonly accessLog: AccessLog
  readonly log: Log
  readonly rateGate: RateGate
  /** What to answer for the token of an armed http-01 challenge. */
  readonly keyAuthorizationOf: (token: string) => string | undefined
}

const CHALLENGE_PATH = '/.well-known/acme-challenge/'
const DEFAULT_HTTPS_PORT = 443

export class RedirectServer {
  readonly #server: Server
  readonly #deps: RedirectDeps
  readonly #exchangeDeps: Http1Deps
  readonly #sweep: NodeJS.Timeout
  readonly #connections: ClientConnections
  readonly #http1 = new WeakMap<Socket, Http1Connection>()
  #settings: RedirectSettings
  #hosts = new Router<Site>([])
  #stage: Stage

  constructor(settings: RedirectSettings, stage: Stage, deps: RedirectDeps) {
    this.#deps = deps
    this.#stage = stage
    this.#settings = settings
    const stalls = new AnswerStalls(() => this.#settings.limits.bodyStallTimeoutMs, nowMs, deps.log)
    this.#sweep = setInterval(() => stalls.sweep(), SWEEP_INTERVAL_MS).unref()
    this.#exchangeDeps = {
      accessLog: deps.accessLog,
      stalls,
      nowMs,
      requestsPerConnection: () => this.#settings.limits.requestsPerConnection,
    }
    const { limits } = settings
    this.#server = createServer({
      ...http1Timeouts(limits),
      maxHeaderSize: runtimeHeaderBytes(limits),
      requestTimeout: 0,
      noDelay: true,
      // A missing Host is answered here, in our own words.
      requireHostHeader: false,
      shouldUpgradeCallback: (req) => {
        this.#connectionOf(req.socket).isLosingBytes = true
        return false
      },
    })
    this.#server.maxHeadersCount = 0
    this.#connections = new ClientConnections(() => this.#server.closeIdleConnections())
    this.configure(settings)
    this.#listen()
  }

  configure(settings: RedirectSettings): void {
    this.#settings = settings
    this.#hosts = new Router(settings.sites.map((site) => [site.host, site] as const))
    const { limits } = settings
    Object.assign(this.#server, http1Timeouts(limits), { maxHeaderSize: runtimeHeaderBytes(limits) })
  }

  /** A socket nobody has touched, from whichever of the listener's addresses. */
  adopt(socket: Socket): void {
    this.#connections.add(socket)
    socket.on('error', ignore)
    this.#server.emit('connection', socket)
  }

  setStage(stage: Stage): void {
    this.#stage = stage
  }

  async drain(timeoutMs: number): Promise<void> {
    await this.#connections.drain(timeoutMs)
    clearInterval(this.#sweep)
  }

  destroy(): void {
    clearInterval(this.#sweep)
    this.#connections.destroy()
  }

  #listen(): void {
    const server = this.#server
    const onRequest = (req: IncomingMessage, res: ServerResponse): void => this.#onRequest(req, res)
    server.on('request', onRequest)
    server.on('checkContinue', onRequest)
    server.on('checkExpectation', onRequest)
    server.on('connect', (req, _socket, head) => this.#onConnect(req, head))
    server.on('clientError', (error, socket) => {
      if (socket instanceof Socket) answerClientError(error, this.#connectionOf(socket), this.#deps.log)
    })
    // Only this starts the runtime's header deadline and its list of idle connections.
    server.emit('listening')
  }

  #connectionOf(socket: Socket): Http1Connection {
    let connection = this.#http1.get(socket)
    if (connection === undefined) {
      connection = new Http1Connection(
        socket,
        { clientIp: foldMappedAddress(socket.remoteAddress ?? '') },
        this.#connections,
      )
      this.#http1.set(socket, connection)
    }
    return connection
  }

  #onRequest(req: IncomingMessage, res: ServerResponse): void {
    const connection = this.#connectionOf(req.socket)
    if (connection.isClosing) return
    const exchange = new Http1Exchange(req, res, connection, this.#exchangeDeps)
    if (connection.isLosingBytes) exchange.closeAfterwards()
    this.#handle(exchange)
  }

  /** The runtime has given the socket away; the method is refused like any other that is not allowed. */
  #onConnect(req: IncomingMessage, head: Buffer): void {
    const connection = this.#connectionOf(req.socket)
    if (connection.isClosing || connection.hasOpenExchange) req.socket.destroy()
    else this.#handle(new UpgradeExchange(req, head, connection, this.#exchangeDeps))
  }

  #handle(exchange: Http1Exchange): void {
    try {
      this.#answer(exchange)
    } catch (error) {
      answerError(exchange, error instanceof ProxyError ? error.code : 'INTERNAL')
    }
  }

  #answer(exchange: Http1Exchange): void {
    exchange.request = parseRequest(exchange.head, this.#settings.limits)
    const { path } = exchange.request
    // Nothing here needs a body.
    if (exchange.mayHaveBody) exchange.closeAfterwards()
    if (path.startsWith(CHALLENGE_PATH)) {
      this.#answerChallenge(exchange, path.slice(CHALLENGE_PATH.length))
    } else if (this.#stage === 'challenge') {
      answerText(exchange, 503)
    } else {
      const site = this.#hosts.lookup(exchange.request.host)
      if (site === undefined) throw new ProxyError('UNKNOWN_HOST', 'no site of this listener')
      if (this.#deps.rateGate.pass(exchange, rateScopeOf(site), this.#redirect)) this.#redirect(exchange)
    }
  }

  readonly #redirect = (exchange: ClientExchange): void => {
    const { host, path } = exchange.request
    const { httpsPort } = this.#settings
    const port = httpsPort === DEFAULT_HTTPS_PORT ? '' : `:${httpsPort}`
    answerText(exchange, 301, ['location', `https://${host}${port}${path}`])
  }

  /** RFC 8555 8.3. */
  #answerChallenge(exchange: Http1Exchange, token: string): void {
    const keyAuthorization = this.#deps.keyAuthorizationOf(token)
    if (keyAuthorization === undefined) {
      answerText(exchange, 404)
      return
    }
    const body = Buffer.from(keyAuthorization)
    exchange.respond({
      status: 200,
      reason: '',
      headers: ['content-type', 'application/octet-stream'],
      contentLength: String(body.length),
    })
    if (exchange.head.method !== 'HEAD') exchange.write(body)
    exchange.end([])
  }
}

function nowMs(): number {
  return performance.now()
}

function ignore(): void {}
