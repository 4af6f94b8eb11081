// Where the requests of a site go: its peers, which of them gets a request, what all of them together are given to do,
// and what of that a reload keeps.
import type { NameResolver } from '@reverse-proxy/shared/names/name-resolver'
import { Admission, type IdleConnections } from './admission.ts'
import type { ConnectionBudget } from './connection-budget.ts'
import type { UpstreamAddress } from './connector.ts'
import { Peer } from './peer.ts'
import type { UpstreamTrust } from './trust.ts'

/** Shared by all upstreams of a worker. */
export interface UpstreamDeps {
  readonly trust: UpstreamTrust
  readonly names: Pick<NameResolver, 'lookup'>
  readonly budget: ConnectionBudget
}

export interface UpstreamSettings {
  readonly address: UpstreamAddress
  readonly maxAwaitingHead: number
  readonly maxConnections: number
  /** Also the longest wait for a turn. */
  readonly connectTimeoutMs: number
}

export class Upstream implements IdleConnections {
  readonly #deps: UpstreamDeps
  readonly #admission: Admission
  #peer: Peer

  constructor(settings: UpstreamSettings, deps: UpstreamDeps) {
    this.#deps = deps
    this.#admission = new Admission(limitsOf(settings), this, deps.budget)
    this.#peer = this.#newPeer(settings)
  }

  /** A peer whose address stays keeps its connections; the requests of the others are finished. */
  configure(settings: UpstreamSettings): void {
    if (isSameAddress(this.#peer.address, settings.address)) {
      this.#peer.pool.configure(settings.connectTimeoutMs)
    } else {
      this.#peer.pool.close()
      this.#peer = this.#newPeer(settings)
    }
    this.#admission.configure(limitsOf(settings))
  }

  pick(): Peer {
    return this.#peer
  }

  get hasIdle(): boolean {
    return this.#peer.pool.hasIdle
  }

  closeIdle(): boolean {
    return this.#peer.pool.closeIdle()
  }

  /** No new requests will come. Those that have been accepted are finished. */
  close(): void {
    this.#peer.pool.close()
    this.#admission.close()
  }

  #newPeer({ address, connectTimeoutMs }: UpstreamSettings): Peer {
    return new Peer(address, this.#admission, connectTimeoutMs, this.#deps)
  }
}

function limitsOf({ connectTimeoutMs, maxAwaitingHead, maxConnections }: UpstreamSettings) {
  return { maxAwaitingHead, maxConnections, queueTimeoutMs: connectTimeoutMs }
}

function isSameAddress(a: UpstreamAddress, b: UpstreamAddress): boolean {
  return a.scheme === b.scheme && a.host === b.host && a.port === b.port && a.caPem === b.caPem
}
