// WebSocket over HTTP/1.1, by http-proxy's own pass, with what it lacks around it: it is never called
// on a socket without an error listener, never gets to write an answer of the upstream that is no
// upgrade to WebSocket, and sends the path and the headers that we have made.
import type { Agent, ClientRequest, IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import type { Limits } from '@reverse-proxy/shared/config/config'
import type { AccessLog } from '../observability/access-log-entry.ts'
import type { ResponseSource } from '../protocol/exchange.ts'
import { clientResponseHeaders } from '../message/headers.ts'
import type { UpgradeExchange } from '../protocol/http1/upgrade-exchange.ts'
import type { ConnectionLimits } from '../connection/connection-limits.ts'
import type { ConnectionLimitLog } from '../connection/connection-limit-log.ts'
import { closeLingering, LINGER_MS } from '../connection/lingering-close.ts'
import type { Handshake, WebSocketProxy } from './http-proxy.ts'
import { passRejectedUpgrade } from './upgrade-rejected.ts'
import type { Route } from '../upstream/route.ts'
import type { Tunnel, Tunnels } from './tunnels.ts'
import { badResponse } from '../upstream/http1/bad-response.ts'
import { CLOSE_GOING_AWAY, FrameBoundary } from './websocket-frames.ts'
import { failHandshake, isSwitching, writeHandshake } from './handshake.ts'
import { TunnelOpening, type OpeningTunnel } from './opening.ts'

export interface UpgradeDeps {
  readonly accessLog: AccessLog
  readonly limits: () => Pick<Limits, 'upgradeIdleTimeoutMs' | 'bodyStallTimeoutMs'>
  readonly tunnels: Tunnels
  readonly connectionLimitLog: ConnectionLimitLog
  /** Those of the TLS front. */
  readonly connections: Pick<ConnectionLimits, 'admit' | 'release'>
}

type Join = (response: IncomingMessage, upstream: Socket, firstBytes: NonSharedBuffer) => void

export function openTunnel(
  proxy: WebSocketProxy,
  exchange: UpgradeExchange,
  route: Route,
  deps: UpgradeDeps,
): void {
  new SocketTunnel(proxy, exchange, route, deps).start()
}

/** One handshake and the tunnel that comes of it. To http-proxy it is the request. */
class SocketTunnel implements ResponseSource, Handshake, OpeningTunnel, Tunnel {
  readonly method = 'GET'
  readonly headers = { upgrade: 'websocket' } as const
  /** Not sent: onRequest sets the real path, which http-proxy would change. */
  readonly url = '/'
  readonly #proxy: WebSocketProxy
  readonly #exchange: UpgradeExchange
  readonly #route: Route
  readonly #deps: UpgradeDeps
  readonly #opening: TunnelOpening
  readonly #toClient = new FrameBoundary()
  #request: ClientRequest | undefined
  #upstream: Socket | undefined

  constructor(proxy: WebSocketProxy, exchange: UpgradeExchange, route: Route, deps: UpgradeDeps) {
    this.#proxy = proxy
    this.#exchange = exchange
    this.#route = route
    this.#deps = deps
    this.#opening = new TunnelOpening(this, exchange, route)
  }

  start(): void {
    this.#exchange.source = this
    this.#opening.start()
  }

  onConnected(agent: Agent): void {
    const { socket, firstBytes } = this.#exchange
    this.#proxy.join(this, socket, firstBytes, agent, (error) => this.#onError(error))
    this.#listen()
  }

  onOpeningFailed(error: Error): void {
    this.#opening.giveUp()
    failHandshake(this.#exchange, this.#deps.accessLog, error)
  }

  /** The pass has made its request and not sent it yet. */
  onRequest(request: ClientRequest): void {
    this.#request = request
    writeHandshake(request, this.#exchange, this.#route)
  }

  onDrain(): void {
    // Only short responses of the proxy itself are written here.
  }

  onClientGone(): void {
    this.#opening.giveUp()
  }

  goAway(): void {
    const { socket } = this.#exchange
    this.#upstream?.unpipe(socket)
    if (this.#toClient.mayInsert && socket.writable) socket.write(CLOSE_GOING_AWAY)
    this.#upstream?.destroy()
  }

  /** The pass has been called, and its listeners are in place: ours decide whether it hears of the answer. */
  #listen(): void {
    const request = this.#request
    if (request === undefined) return
    const join = request.listeners('upgrade')
    request.removeAllListeners('upgrade').on('upgrade', (response, upstream: Socket, firstBytes) => {
      this.#opening.answered()
      if (isSwitching(response)) this.#open(response, upstream, firstBytes, join)
      else this.onOpeningFailed(badResponse('101 that switches to something else'))
    })
    // It would write the head of a refusal as it came, chunked or not, and a body that is no longer.
    request.removeAllListeners('response').on('response', (response) => {
      this.#opening.answered()
      passRejectedUpgrade(this.#exchange, response, {
        accessLog: this.#deps.accessLog,
        silenceTimeoutMs: this.#route.action.requestTimeoutMs,
      })
    })
  }

  #onError(error: Error): void {
    if (this.#upstream === undefined) this.onOpeningFailed(error)
    else this.#exchange.socket.destroy()
  }

  /** Has the pass join the two sockets. From then on the end of each is passed to the other, and silence ends both. */
  #open(
    response: IncomingMessage,
    upstream: Socket,
    firstBytes: NonSharedBuffer,
    join: readonly Join[],
  ): void {
    const { socket } = this.#exchange
    this.#upstream = upstream
    // The pass hands on the end of either side; without this the runtime would end the other direction with it.
    socket.allowHalfOpen = true
    upstream.allowHalfOpen = true
    trimHead(response)
    // The pass writes the head as a string: a character for each byte, as it was read.
    socket.setDefaultEncoding('latin1')
    for (const listener of join) listener(response, upstream, firstBytes)
    upstream.on('data', (chunk: Buffer) => this.#toClient.see(chunk))
    this.#deps.tunnels.opened(this)
    this.#exchange.opened()
    const limits = this.#deps.limits()
    socket.setTimeout(limits.upgradeIdleTimeoutMs, () => socket.destroy())
    const onHalfOpen = (): unknown => socket.setTimeout(halfOpenTimeoutMs(limits))
    socket.once('end', onHalfOpen)
    upstream.once('end', onHalfOpen)
    socket.once('close', () => {
      this.#deps.tunnels.closed(this)
      // Bytes that the client sent before its end must still be written.
      if (upstream.writableEnded) upstream.destroySoon()
      else upstream.destroy()
    })
    if (socket.destroyed) upstream.destroy()
    upstream.once('close', () => {
      socket.end()
      // For a client that reads what is left for it, but not for one that does not.
      socket.setTimeout(LINGER_MS)
      if (socket.writableFinished) closeLingering(socket)
      else socket.once('finish', () => closeLingering(socket))
    })
  }
}

/**
 * How long a tunnel may be silent once one side has ended: the other may never hear of it, or not care, and a client
 * that has gone meanwhile is not noticed as long as there is nothing to send to it.
 */
export function halfOpenTimeoutMs(limits: ReturnType<UpgradeDeps['limits']>): number {
  return Math.min(limits.upgradeIdleTimeoutMs, limits.bodyStallTimeoutMs)
}

/** The pass sends on what stands in `headers`. */
function trimHead(response: IncomingMessage): void {
  const { list } = clientResponseHeaders(response.rawHeaders, 101, false)
  const passed = new Set(list.filter((_, i) => i % 2 === 0))
  for (const name of Object.keys(response.headers)) {
    if (!passed.has(name)) delete response.headers[name]
  }
  response.headers.connection = 'Upgrade'
  response.headers.upgrade = 'websocket'
}
