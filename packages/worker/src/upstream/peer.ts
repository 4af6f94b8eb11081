// One server of an upstream: its address, its connections and its health.
import type { NameResolver } from '@reverse-proxy/shared/names/name-resolver'
import type { Admission } from './admission.ts'
import { hashOf, type Candidate } from './balancer.ts'
import { upstreamLabel, UpstreamConnector, type UpstreamAddress } from './connections/connector.ts'
import { HEALTHY, healthAfterFailure, isOut, type Health, type HealthSettings } from './health.ts'
import { ConnectionPool } from './pool.ts'
import type { UpstreamTrust } from './connections/trust.ts'

export interface PeerAddress extends UpstreamAddress {
  readonly weight: number
  /** It gets requests only while all others are out. */
  readonly isBackup: boolean
}

/** Shared by all peers of a worker. */
export interface PeerDeps {
  readonly trust: UpstreamTrust
  readonly names: Pick<NameResolver, 'lookup'>
}

export class Peer implements Candidate {
  /** For logs. */
  readonly label: string
  readonly hash: number
  readonly pool: ConnectionPool
  credit = 0
  #address: PeerAddress
  #health: Health = HEALTHY

  constructor(
    address: PeerAddress,
    admission: Admission,
    connectTimeoutMs: number,
    { trust, names }: PeerDeps,
  ) {
    this.#address = address
    this.label = upstreamLabel(address)
    this.hash = hashOf(this.label)
    this.pool = new ConnectionPool(new UpstreamConnector(address, trust, names), admission, connectTimeoutMs)
  }

  /** Set after a reload, which may change its weight or role. */
  set address(address: PeerAddress) {
    this.#address = address
  }

  get address(): PeerAddress {
    return this.#address
  }

  get weight(): number {
    return this.#address.weight
  }

  get load(): number {
    return this.pool.load
  }

  get outUntilMs(): number {
    return this.#health.outUntilMs
  }

  isOut(nowMs: number): boolean {
    return isOut(this.#health, nowMs)
  }

  failed(nowMs: number, settings: HealthSettings): void {
    this.#health = healthAfterFailure(this.#health, nowMs, settings)
  }
}
