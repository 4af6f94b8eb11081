// Gets a tunnel its connection to a peer, and gives the peer a limited time to answer the handshake on it. Knows nothing
// of the handshake itself.
import type { Agent } from 'node:http'
import { ProxyError } from '@reverse-proxy/shared/errors'
import type { Exchange } from '../protocol/exchange.ts'
import type { Peer } from '../upstream/peer.ts'
import type { TunnelWaiter } from '../upstream/pool.ts'
import type { Route } from '../upstream/route.ts'
import type { TunnelConnection } from '../upstream/tunnel-connection.ts'
import { OneSocketAgent } from './one-socket-agent.ts'

export interface OpeningTunnel {
  /** @param agent has the connection, for one request */
  onConnected(agent: Agent): void
  /** There is no connection, or no answer in time. */
  onOpeningFailed(error: Error): void
}

export class TunnelOpening implements TunnelWaiter {
  readonly #tunnel: OpeningTunnel
  readonly #peer: Peer
  readonly #headTimeout: NodeJS.Timeout
  #connection: TunnelConnection | undefined

  constructor(tunnel: OpeningTunnel, exchange: Exchange, { upstream, action }: Route) {
    this.#tunnel = tunnel
    this.#peer = upstream.pick()
    exchange.upstream = this.#peer.label
    this.#headTimeout = setTimeout(() => {
      tunnel.onOpeningFailed(new ProxyError('UPSTREAM_TIMEOUT', 'no response to the handshake in time'))
    }, action.requestTimeoutMs)
  }

  start(): void {
    this.#peer.pool.acquireTunnel(this)
  }

  onTunnelConnection(connection: TunnelConnection): void {
    this.#connection = connection
    connection.connect((error, socket) => {
      if (socket === null) this.#tunnel.onOpeningFailed(error)
      else this.#tunnel.onConnected(new OneSocketAgent(socket))
    })
  }

  onAcquireFailed(error: ProxyError): void {
    this.#tunnel.onOpeningFailed(error)
  }

  /** The head of the response has come. */
  answered(): void {
    clearTimeout(this.#headTimeout)
    this.#connection?.answered()
  }

  /** There will be no tunnel. Idempotent. */
  giveUp(): void {
    clearTimeout(this.#headTimeout)
    this.#peer.pool.cancel(this)
    this.#connection?.destroy()
  }
}
