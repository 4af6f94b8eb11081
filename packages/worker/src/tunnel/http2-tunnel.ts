// WebSocket over HTTP/2 (RFC 8441): joins a stream of the client to an upstream connection that has switched protocols
// after our own handshake. The safeguards are those of http1-tunnel.ts.
import { request as requestHttp, type Agent, type IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import { ProxyError } from '@reverse-proxy/shared/errors'
import type { BodySink, BodySource } from '../protocol/body.ts'
import type { ResponseSource } from '../protocol/exchange.ts'
import { clientResponseHeaders } from '../message/headers.ts'
import type { Http2Exchange } from '../protocol/http2/exchange.ts'
import { passRejectedUpgrade } from './upgrade-rejected.ts'
import type { Route } from '../upstream/route.ts'
import type { Tunnel } from './tunnels.ts'
import { halfOpenTimeoutMs, type UpgradeDeps } from './http1-tunnel.ts'
import { badResponse } from '../upstream/http1/bad-response.ts'
import { CLOSE_GOING_AWAY, FrameBoundary } from './websocket-frames.ts'
import { failHandshake, isSwitching, newWebSocketKey, writeHandshake } from './handshake.ts'
import { TunnelOpening, type OpeningTunnel } from './opening.ts'

/** RFC 8441 5: not for the client, which has sent no key. */
const ACCEPT_NAME = 'sec-websocket-accept'

/**
 * Counts the tunnel as one more connection of the client, like a tunnel over HTTP/1.1. Otherwise each connection could
 * have as many upstream connections as streams.
 * @throws ProxyError TOO_MANY_TUNNELS
 */
export function openStreamTunnel(exchange: Http2Exchange, route: Route, deps: UpgradeDeps): void {
  const { connections, connectionLimitLog } = deps
  const { ip, key } = exchange.client
  const refusal = connections.admit(key)
  if (refusal !== undefined) {
    connectionLimitLog.add(key, ip, refusal)
    throw new ProxyError('TOO_MANY_TUNNELS', refusal)
  }
  exchange.onOver = () => connections.release(key)
  new StreamTunnel(exchange, route, deps).start()
}

class StreamTunnel implements ResponseSource, BodySink, OpeningTunnel, Tunnel {
  readonly #exchange: Http2Exchange
  readonly #route: Route
  readonly #deps: UpgradeDeps
  readonly #key = newWebSocketKey()
  readonly #opening: TunnelOpening
  readonly #toClient = new FrameBoundary()
  /** Runs while no byte passes in either direction. */
  #silence: NodeJS.Timeout | undefined
  #upstream: Socket | undefined
  #body: BodySource | undefined

  constructor(exchange: Http2Exchange, route: Route, deps: UpgradeDeps) {
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
    const request = requestHttp({ agent })
    request.on('error', (error) => {
      if (this.#upstream === undefined) this.onOpeningFailed(error)
    })
    writeHandshake(request, this.#exchange, this.#route, this.#key)
    request.on('upgrade', (response, upstream: Socket, firstBytes) => {
      this.#opening.answered()
      this.#onSwitched(response, upstream, firstBytes)
    })
    request.on('response', (response) => {
      this.#opening.answered()
      passRejectedUpgrade(this.#exchange, response, {
        accessLog: this.#deps.accessLog,
        silenceTimeoutMs: this.#route.action.requestTimeoutMs,
      })
    })
    request.end()
  }

  onOpeningFailed(error: Error): void {
    this.#opening.giveUp()
    failHandshake(this.#exchange, this.#deps.accessLog, error)
  }

  onDrain(): void {
    this.#silence?.refresh()
    this.#upstream?.resume()
  }

  onClientGone(): void {
    clearTimeout(this.#silence)
    this.#deps.tunnels.closed(this)
    // Bytes that the client sent before its end must still be written.
    if (this.#upstream?.writableEnded === true) this.#upstream.destroySoon()
    else this.#opening.giveUp()
  }

  // BodySink

  onBody(bytes: Buffer, from: number, to: number): boolean {
    const upstream = this.#upstream
    this.#silence?.refresh()
    // Data that arrives after the upstream has ended is dropped.
    return upstream?.writable !== true || upstream.write(Buffer.copyBytesFrom(bytes, from, to - from))
  }

  onBodyEnd(): void {
    this.#upstream?.end()
    this.#halfOpen()
  }

  onBodyGone(): void {
    // The exchange is over then: onClientGone.
  }

  goAway(): void {
    this.#upstream?.removeAllListeners('data')
    if (this.#toClient.mayInsert) this.#exchange.write(CLOSE_GOING_AWAY)
    this.#exchange.end([])
    this.#upstream?.destroy()
  }

  #onSwitched(response: IncomingMessage, upstream: Socket, firstBytes: Buffer): void {
    upstream.on('error', ignore)
    const exchange = this.#exchange
    if (!isSwitching(response, this.#key)) {
      this.onOpeningFailed(badResponse('101 without the proof that the handshake was read'))
      return
    }
    if (exchange.isOver) {
      upstream.destroy()
      return
    }
    this.#upstream = upstream
    upstream.allowHalfOpen = true
    this.#deps.tunnels.opened(this)
    exchange.respond({ status: 200, reason: '', headers: headersOf(response), contentLength: undefined })
    this.#cutAfterSilence(this.#deps.limits().upgradeIdleTimeoutMs)
    if (firstBytes.length > 0) upstream.unshift(firstBytes)
    this.#passToClient(upstream)
    this.#passToUpstream(upstream)
  }

  #passToClient(upstream: Socket): void {
    const exchange = this.#exchange
    upstream.on('data', (chunk: Buffer) => {
      this.#silence?.refresh()
      this.#toClient.see(chunk)
      if (!exchange.write(chunk)) upstream.pause()
    })
    upstream.on('end', () => {
      exchange.endHalf()
      this.#halfOpen()
    })
    upstream.on('close', () => {
      // Bytes that the client still sends are not read. Without an end before it, this is a reset.
      if (upstream.readableEnded) exchange.end([])
      this.#cut()
    })
  }

  #passToUpstream(upstream: Socket): void {
    const { body } = this.#exchange
    this.#body = body
    upstream.on('drain', () => this.#body?.resume())
    body.flowTo(this)
  }

  #halfOpen(): void {
    if (!this.#exchange.isOver) this.#cutAfterSilence(halfOpenTimeoutMs(this.#deps.limits()))
  }

  #cutAfterSilence(timeoutMs: number): void {
    clearTimeout(this.#silence)
    this.#silence = setTimeout(() => this.#cut(), timeoutMs)
  }

  /** RFC 8441 5: CANCEL stands for a TCP reset. */
  #cut(): void {
    clearTimeout(this.#silence)
    this.#deps.tunnels.closed(this)
    this.#exchange.cancel()
    this.#upstream?.destroy()
  }
}

function headersOf(response: IncomingMessage): string[] {
  const { list } = clientResponseHeaders(response.rawHeaders, 101, false)
  const headers: string[] = []
  for (let i = 0; i < list.length; i += 2) {
    if (list[i] !== ACCEPT_NAME) headers.push(list[i]!, list[i + 1]!)
  }
  return headers
}

function ignore(): void {}
