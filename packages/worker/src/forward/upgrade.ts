// WebSocket over HTTP/1.1, by http-proxy's own pass, with what it lacks around it: it is never called
// on a socket without an error listener, never gets to write an answer of the upstream that is no
// upgrade, and sends the path and the headers that we have made.
import type { ClientRequest, IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import type { Limits } from '@reverse-proxy/shared/config/config'
import { ProxyError } from '@reverse-proxy/shared/errors'
import type { AccessLog } from '../http/access-log-entry.ts'
import type { AnswerSource } from '../http/client-exchange.ts'
import { answerError } from '../http/error-response.ts'
import { clientResponseHeaders, clientTrailers, upstreamRequestHeaders } from '../http/headers.ts'
import type { UpgradeExchange } from '../http/upgrade-exchange.ts'
import { destroyAfter } from '../tls/farewell.ts'
import type { Handshake, ProxyPipeline } from './http-proxy.ts'
import type { Route } from './route.ts'
import { upstreamFault } from './upstream-error.ts'

export interface UpgradeDeps {
  readonly accessLog: AccessLog
  readonly limits: () => Pick<Limits, 'upgradeIdleTimeoutMs'>
}

/** How long a client whose upstream has hung up may take to do the same. */
const CLOSE_TIMEOUT_MS = 1000

export function openTunnel(
  proxy: ProxyPipeline,
  exchange: UpgradeExchange,
  route: Route,
  deps: UpgradeDeps,
): void {
  const tunnel = new Tunnel(exchange, route, deps)
  const { host, port } = route.pool.address
  // The agent does TLS, if there is any: `https` would verify the name in Host instead of the upstream's.
  const target = { protocol: 'http:', host, port }
  const options = { target, agent: route.pool.upgradeAgent, toProxy: true } as const
  proxy.ws(tunnel, exchange.socket, exchange.firstBytes, options, (error) => tunnel.onError(error))
  tunnel.onCalled()
}

/** One handshake and the tunnel that comes of it. To http-proxy it is the request. */
class Tunnel implements AnswerSource, Handshake {
  readonly method = 'GET'
  readonly headers = { upgrade: 'websocket' } as const
  /** What http-proxy makes of a path is not to be sent: see onRequest. */
  readonly url = '/'
  readonly #exchange: UpgradeExchange
  readonly #route: Route
  readonly #deps: UpgradeDeps
  readonly #headTimeout: NodeJS.Timeout
  #request: ClientRequest | undefined
  #response: IncomingMessage | undefined
  #upstream: Socket | undefined

  constructor(exchange: UpgradeExchange, route: Route, deps: UpgradeDeps) {
    this.#exchange = exchange
    this.#route = route
    this.#deps = deps
    exchange.source = this
    exchange.upstream = route.pool.label
    this.#headTimeout = setTimeout(() => {
      this.#request?.destroy(new ProxyError('UPSTREAM_TIMEOUT', 'no answer to the handshake in time'))
    }, route.site.requestTimeoutMs)
  }

  /** The pass has made its request and not sent it yet. */
  onRequest(request: ClientRequest): void {
    const { head, connection, request: parsed } = this.#exchange
    this.#request = request
    request.path = parsed.path
    for (const name of request.getHeaderNames()) request.removeHeader(name)
    const headers = upstreamRequestHeaders(head.rawHeaders, {
      clientIp: connection.clientIp,
      authority: parsed.authority,
      connectionOptions: parsed.connectionOptions,
      contentLength: undefined,
    })
    headers.push('Connection', 'Upgrade', 'Upgrade', 'websocket')
    for (let i = 0; i < headers.length; i += 2) request.appendHeader(headers[i]!, headers[i + 1]!)
    request.on('upgrade', (response, socket) => this.#onUpgrade(response, socket))
  }

  /** The pass has been called, and its listeners are in place. */
  onCalled(): void {
    // It would write the head of a refusal as it came, chunked or not, and a body that is no longer.
    this.#request?.removeAllListeners('response').on('response', (response) => this.#onRefusal(response))
    this.#request?.on('upgrade', () => this.#onOpen())
  }

  onError(error: Error): void {
    clearTimeout(this.#headTimeout)
    const exchange = this.#exchange
    if (this.#upstream !== undefined) {
      exchange.socket.destroy()
      return
    }
    if (exchange.isOver) return
    const { code, words } = upstreamFault(error)
    const { host } = exchange.request
    this.#deps.accessLog.upstreamError({ host, upstream: this.#route.pool.label, error: words })
    answerError(exchange, code)
  }

  onDrain(): void {
    this.#response?.resume()
  }

  onClientGone(): void {
    clearTimeout(this.#headTimeout)
    this.#request?.destroy()
  }

  /** An answer that is no upgrade is an answer like any other; the connection ends with it. */
  #onRefusal(response: IncomingMessage): void {
    clearTimeout(this.#headTimeout)
    this.#response = response
    const exchange = this.#exchange
    const { list, contentLength } = clientResponseHeaders(response.rawHeaders, exchange.canAnnounceTrailers)
    response.on('data', (chunk: Buffer) => {
      if (!exchange.write(chunk)) response.pause()
    })
    response.on('end', () => exchange.end(clientTrailers(response.rawTrailers)))
    // Without an end before it, this is a truncation; after it, nothing happens.
    response.on('error', () => exchange.truncate())
    try {
      const status = response.statusCode ?? 0
      exchange.respond({ status, reason: '', headers: list, contentLength })
    } catch {
      response.destroy()
      answerError(exchange, 'UPSTREAM_PROTOCOL')
    }
  }

  /** Before the pass passes the upstream's head on: it takes what stands in `headers`. */
  #onUpgrade(response: IncomingMessage, upstream: Socket): void {
    clearTimeout(this.#headTimeout)
    this.#upstream = upstream
    const { list } = clientResponseHeaders(response.rawHeaders, false)
    const passed = new Set(list.filter((_, i) => i % 2 === 0))
    for (const name of Object.keys(response.headers)) {
      if (!passed.has(name)) delete response.headers[name]
    }
    response.headers.connection = 'Upgrade'
    response.headers.upgrade = 'websocket'
  }

  /** The pass has joined the two sockets. Each takes the other with it, and silence takes both. */
  #onOpen(): void {
    const upstream = this.#upstream
    const { socket } = this.#exchange
    if (upstream === undefined) return
    this.#exchange.opened()
    socket.setTimeout(this.#deps.limits().upgradeIdleTimeoutMs, () => socket.destroy())
    socket.once('close', () => upstream.destroy())
    if (socket.destroyed) upstream.destroy()
    upstream.once('close', () => {
      socket.end()
      destroyAfter(socket, CLOSE_TIMEOUT_MS)
    })
  }
}
