// Determines the client of a request that a trusted proxy has sent. Later stages use `exchange.client` and never the
// address of the connection.
import type { TrustedProxies } from '../../access/trusted-proxies.ts'
import type { Exchange } from '../../protocol/exchange.ts'
import { NEXT, type Stage, type StageResult } from '../stage.ts'

export class ClientStage implements Stage {
  readonly #proxies: () => TrustedProxies | undefined

  /** @param proxies undefined: none is trusted */
  constructor(proxies: () => TrustedProxies | undefined) {
    this.#proxies = proxies
  }

  run(exchange: Exchange): StageResult {
    const proxies = this.#proxies()
    const { client, head } = exchange
    if (proxies?.has(client.ip) === true) exchange.client = proxies.clientOf(client, head.rawHeaders)
    return NEXT
  }
}
