// Acquires a connection to a peer for a tunnel, and gives the peer a limited time to respond to the handshake. Does not
// know the handshake itself.
import type { Agent } from 'node:http'
import { ProxyError } from '@reverse-proxy/shared/errors'
import type { Exchange } from '../protocol/exchange.ts'
import { Attempts } from '../upstream/attempts.ts'
import { upstreamFault } from '../upstream/connections/errors.ts'
import type { Peer } from '../upstream/peer.ts'
import type { TunnelWaiter } from '../upstream/pool.ts'
import type { Route } from '../upstream/route.ts'
import type { TunnelConnection } from '../upstream/connections/tunnel-connection.ts'
import type { Upstream } from '../upstream/upstream.ts'
import { OneSocketAgent } from './one-socket-agent.ts'

export interface OpeningTunnel {
  /** @param agent sends one request on the connection */
  onConnected(agent: Agent): void
  /** There is no connection, or no response in time. */
  onOpeningFailed(error: Error): void
}

export class TunnelOpening implements TunnelWaiter {
  readonly #tunnel: OpeningTunnel
  readonly #exchange: Exchange
  readonly #upstream: Upstream
  readonly #headTimeout: NodeJS.Timeout
  #peer: Peer
  #connection: TunnelConnection | undefined
  #attempts: Attempts | undefined

  constructor(tunnel: OpeningTunnel, exchange: Exchange, { upstream, action }: Route) {
    this.#tunnel = tunnel
    this.#exchange = exchange
    this.#upstream = upstream
    this.#peer = upstream.pick(exchange)
    this.#headTimeout = setTimeout(() => {
      tunnel.onOpeningFailed(new ProxyError('UPSTREAM_TIMEOUT', 'no response to the handshake in time'))
    }, action.requestTimeoutMs)
  }

  start(): void {
    this.#ask(this.#peer)
  }

  onTunnelConnection(connection: TunnelConnection): void {
    this.#connection = connection
    connection.connect((error, socket) => {
      if (socket === null) this.#onUnreached(error)
      else this.#tunnel.onConnected(new OneSocketAgent(socket))
    })
  }

  onAcquireFailed(error: ProxyError): void {
    this.#tunnel.onOpeningFailed(error)
  }

  /** Call when the head of the response has arrived. */
  answered(): void {
    clearTimeout(this.#headTimeout)
    this.#connection?.answered()
  }

  /** There will be no tunnel. Idempotent. */
  giveUp(): void {
    clearTimeout(this.#headTimeout)
    this.#attempts?.cancel()
    this.#peer.pool.cancel(this)
    this.#connection?.destroy()
  }

  #ask(peer: Peer): void {
    this.#peer = peer
    this.#exchange.upstream = peer.label
    peer.pool.acquireTunnel(this)
  }

  #onUnreached(error: Error): void {
    const { code } = upstreamFault(error)
    const failure = { code, phase: 'unsent', isReused: false, isRepeatable: false } as const
    this.#attempts ??= new Attempts(this.#upstream, this.#exchange)
    if (!this.#attempts.next(this.#peer, failure, (peer) => this.#ask(peer)))
      this.#tunnel.onOpeningFailed(error)
  }
}
