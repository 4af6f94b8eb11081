// Finds out which client a request comes from when a trusted proxy sent it. Nothing behind this stage asks the
// connection.
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
