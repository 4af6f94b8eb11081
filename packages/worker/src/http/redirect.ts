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
import { nowMs } from '../limits/timers.ts'
import type { AccessLog } from './access-log-entry.ts'
import { Http1Connection } from './client-connection.ts'
import { ClientConnections } from './client-connections.ts'
import { answerClientError } from './client-error.ts'
import type { ClientExchange } from './client-exchange.ts'
import { answerBody, answerError, answerText } from './error-response.ts'
import { parseRequest } from './framing.ts'
import type { Http1Exchange } from './http1-exchange.ts'
import { Http1Requests } from './http1-requests.ts'
import { Router } from './router.ts'
import { http1Timeouts, runtimeHeaderBytes, SWEEP_INTERVAL_MS } from './runtime-limits.ts'

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
  readonly #sweep: NodeJS.Timeout
  readonly #connections: ClientConnections
  readonly #requests: Http1Requests
  #settings: RedirectSettings
  #hosts = new Router<Site>([])
  #stage: Stage

  constructor(settings: RedirectSettings, stage: Stage, deps: RedirectDeps) {
    this.#deps = deps
    this.#stage = stage
    this.#settings = settings
    const stalls = new AnswerStalls(() => this.#settings.limits.bodyStallTimeoutMs, nowMs, deps.log)
    this.#sweep = setInterval(() => stalls.sweep(), SWEEP_INTERVAL_MS).unref()
    this.#requests = new Http1Requests(
      {
        accessLog: deps.accessLog,
        stalls,
        nowMs,
        requestsPerConnection: () => this.#settings.limits.requestsPerConnection,
      },
      (socket) => {
        const clientIp = foldMappedAddress(socket.remoteAddress ?? '')
        return new Http1Connection(socket, { clientIp }, this.#connections)
      },
      (exchange) => this.#handle(exchange),
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
        this.#requests.connectionOf(req.socket).isLosingBytes = true
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

  #listen(): void {
    const server = this.#server
    const onRequest = (req: IncomingMessage, res: ServerResponse): void => this.#requests.onRequest(req, res)
    server.on('request', onRequest)
    server.on('checkContinue', onRequest)
    server.on('checkExpectation', onRequest)
    // The method is refused like any other that is not allowed.
    server.on('connect', (req, _socket, head) => this.#requests.onGivenAway(req, head))
    server.on('clientError', (error, socket) => {
      if (!(socket instanceof Socket)) return
      answerClientError(error, this.#requests.connectionOf(socket), {
        log: this.#deps.log,
        headTimeoutMs: this.#settings.limits.requestHeaderTimeoutMs,
      })
    })
    // Only this starts the runtime's header deadline and its list of idle connections.
    server.emit('listening')
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
    answerBody(exchange, 200, ['content-type', 'application/octet-stream'], keyAuthorization)
  }
}

function ignore(): void {}
