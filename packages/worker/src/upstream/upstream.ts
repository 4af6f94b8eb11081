// An upstream: its peers and their common limits. Picks a peer for each request. A reload keeps the peers whose address
// stays, with their connections and health.
import type { Timers } from '@reverse-proxy/shared/clock'
import type { Balance } from '@reverse-proxy/shared/config/balancing'
import type { Exchange } from '../protocol/exchange.ts'
import { Admission, type AdmissionLimits, type IdleConnections } from './admission.ts'
import type { ConnectionBudget } from './connection-budget.ts'
import type { UpstreamAddress } from './connections/connector.ts'
import type { HealthSettings } from './health.ts'
import { Peer, type PeerAddress, type PeerDeps } from './peer.ts'
import { choose, eligible } from './selection.ts'

/** Shared by all upstreams of a worker. */
export interface UpstreamDeps extends PeerDeps {
  readonly budget: ConnectionBudget
  readonly timers: Timers
}

export interface UpstreamSettings extends HealthSettings {
  /** At least one. */
  readonly peers: readonly PeerAddress[]
  readonly balance: Balance
  /** How long a request that reaches no peer is retried. */
  readonly retryMs: number
  readonly maxAwaitingHead: number
  readonly maxConnections: number
  /** Also the longest wait in the queue. */
  readonly connectTimeoutMs: number
}

const NONE: ReadonlySet<Peer> = new Set()

export class Upstream implements IdleConnections {
  readonly #deps: UpstreamDeps
  readonly #admission: Admission
  #settings: UpstreamSettings
  #peers: readonly Peer[]

  constructor(settings: UpstreamSettings, deps: UpstreamDeps) {
    this.#deps = deps
    this.#settings = settings
    this.#admission = new Admission(limitsOf(settings), this, deps.budget)
    this.#peers = settings.peers.map((address) => this.#newPeer(address))
  }

  /** Peers whose address stays keep their connections and health. Requests of the others are finished. */
  configure(settings: UpstreamSettings): void {
    this.#settings = settings
    const before = this.#peers
    this.#peers = settings.peers.map((address) => {
      const kept = before.find((peer) => isSameAddress(peer.address, address))
      if (kept === undefined) return this.#newPeer(address)
      kept.address = address
      kept.pool.configure(settings.connectTimeoutMs)
      return kept
    })
    for (const peer of before) if (!this.#peers.includes(peer)) peer.pool.close()
    this.#admission.configure(limitsOf(settings))
  }

  get timers(): Timers {
    return this.#deps.timers
  }

  get retryMs(): number {
    return this.#settings.retryMs
  }

  get peerCount(): number {
    return this.#peers.length
  }

  /** @param tried peers that have failed at this request; picked again only if there are no others */
  pick(exchange: Exchange, tried = NONE): Peer {
    const [only] = this.#peers
    if (only !== undefined && this.#peers.length === 1) return only
    const peers = eligible(this.#peers, tried, this.timers.nowMs())
    return choose(peers, this.#settings.balance, exchange)
  }

  /** `peer` has failed. With a single peer there is no choice, and nothing is remembered. */
  failed(peer: Peer): void {
    if (this.#peers.length > 1) peer.failed(this.timers.nowMs(), this.#settings)
  }

  get hasIdle(): boolean {
    return this.#peers.some(({ pool }) => pool.hasIdle)
  }

  closeIdle(): boolean {
    return this.#peers.some(({ pool }) => pool.closeIdle())
  }

  /** Call when no new requests arrive. Accepted ones are finished. */
  close(): void {
    for (const { pool } of this.#peers) pool.close()
    this.#admission.close()
  }

  #newPeer(address: PeerAddress): Peer {
    return new Peer(address, this.#admission, this.#settings.connectTimeoutMs, this.#deps)
  }
}

function limitsOf({ connectTimeoutMs, maxAwaitingHead, maxConnections }: UpstreamSettings): AdmissionLimits {
  return { maxAwaitingHead, maxConnections, queueTimeoutMs: connectTimeoutMs }
}

function isSameAddress(a: UpstreamAddress, b: UpstreamAddress): boolean {
  return a.scheme === b.scheme && a.host === b.host && a.port === b.port && a.caPem === b.caPem
}
