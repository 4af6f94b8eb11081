// WebSocket over HTTP/1.1 by the upgrade pass of http-proxy, made safe: its sockets always have an error listener, it
// never writes a response that is not an upgrade to WebSocket, and it sends the path and header fields that we have
// made.
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
  /** Those of the listener. */
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

/** One handshake and its tunnel. http-proxy takes it for the request. */
class SocketTunnel implements ResponseSource, Handshake, OpeningTunnel, Tunnel {
  readonly method = 'GET'
  readonly headers = { upgrade: 'websocket' } as const
  /** Not sent: http-proxy would change the real path, so onRequest sets it. */
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

  /** The pass has made its request and has not sent it yet. */
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

  /** Call when the pass has added its listeners. Ours replace them and decide whether the pass gets the response. */
  #listen(): void {
    const request = this.#request
    if (request === undefined) return
    const join = request.listeners('upgrade')
    request.removeAllListeners('upgrade').on('upgrade', (response, upstream: Socket, firstBytes) => {
      this.#opening.answered()
      if (isSwitching(response)) this.#open(response, upstream, firstBytes, join)
      else this.onOpeningFailed(badResponse('101 that switches to something else'))
    })
    // The pass would copy the head of a rejection, with its framing, but write the body without that framing.
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

  /** Lets the pass join the two sockets. From then on the end of one ends the other, and silence ends both. */
  #open(
    response: IncomingMessage,
    upstream: Socket,
    firstBytes: NonSharedBuffer,
    join: readonly Join[],
  ): void {
    const { socket } = this.#exchange
    this.#upstream = upstream
    // The pass forwards the end of each side. Without this, the runtime would end the other direction as well.
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
      // Lets a client read the rest, but does not wait for one that does not read.
      socket.setTimeout(LINGER_MS)
      if (socket.writableFinished) closeLingering(socket)
      else socket.once('finish', () => closeLingering(socket))
    })
  }
}

/**
 * How long a tunnel may be silent once one side has ended. The other side may not react to the end, and a client that
 * has gone is not noticed as long as nothing is sent to it.
 */
export function halfOpenTimeoutMs(limits: ReturnType<UpgradeDeps['limits']>): number {
  return Math.min(limits.upgradeIdleTimeoutMs, limits.bodyStallTimeoutMs)
}

/** The header fields that the pass forwards. */
function trimHead(response: IncomingMessage): void {
  const { list } = clientResponseHeaders(response.rawHeaders, 101, false)
  const passed = new Set(list.filter((_, i) => i % 2 === 0))
  for (const name of Object.keys(response.headers)) {
    if (!passed.has(name)) delete response.headers[name]
  }
  response.headers.connection = 'Upgrade'
  response.headers.upgrade = 'websocket'
}
