// One server that an upstream consists of: where it is, and the connections to it.
import type { Admission } from './admission.ts'
import { upstreamLabel, UpstreamConnector, type UpstreamAddress } from './connector.ts'
import { ConnectionPool } from './pool.ts'
import type { UpstreamDeps } from './upstream.ts'

export class Peer {
  readonly address: UpstreamAddress
  /** For logs. */
  readonly label: string
  readonly pool: ConnectionPool

  constructor(
    address: UpstreamAddress,
    admission: Admission,
    connectTimeoutMs: number,
    { trust, names }: UpstreamDeps,
  ) {
    this.address = address
    this.label = upstreamLabel(address)
    this.pool = new ConnectionPool(new UpstreamConnector(address, trust, names), admission, connectTimeoutMs)
  }
}
