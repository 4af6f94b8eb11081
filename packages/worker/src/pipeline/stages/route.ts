// Finds the site of a request by its host, and rejects a host that the connection's certificate does not cover.
import { ProxyError } from '@reverse-proxy/shared/errors'
import type { Exchange, ServedRoute } from '../../protocol/exchange.ts'
import type { Router } from '../router.ts'
import { NEXT, type Stage, type StageResult } from '../stage.ts'

export class RouteStage implements Stage {
  readonly #router: () => Router<ServedRoute>

  constructor(router: () => Router<ServedRoute>) {
    this.#router = router
  }

  run(exchange: Exchange): StageResult {
    const { host } = exchange.request
    const site = this.#router().lookup(host)
    if (site === undefined) throw new ProxyError('UNKNOWN_HOST', 'no site of this listener')
    // RFC 9110 7.4: reject a request for a name that the certificate of the connection does not cover.
    if (exchange.connection.certificate?.covers(host) === false) {
      throw new ProxyError('MISDIRECTED', 'not covered by the certificate of the connection')
    }
    exchange.route = site
    return NEXT
  }
}
