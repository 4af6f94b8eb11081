// Finds the site that a request is for, and the route of that site.
import { ProxyError } from '@reverse-proxy/shared/errors'
import type { Exchange } from '../../protocol/exchange.ts'
import type { Router } from '../router.ts'
import type { ServedSite } from '../sites.ts'
import { NEXT, type Stage, type StageResult } from '../stage.ts'

export class RouteStage implements Stage {
  readonly #router: () => Router<ServedSite>

  constructor(router: () => Router<ServedSite>) {
    this.#router = router
  }

  run(exchange: Exchange): StageResult {
    const { host, path } = exchange.request
    const site = this.#router().lookup(host)
    if (site === undefined) throw new ProxyError('UNKNOWN_HOST', 'no site of this listener')
    // RFC 9110 7.4: a connection serves only names that its certificate covers.
    if (exchange.connection.certificate?.covers(host) === false) {
      throw new ProxyError('MISDIRECTED', 'not covered by the certificate of the connection')
    }
    // Set it first, so that an error response has the header fields of the site.
    exchange.route = site.own
    if (site.routes !== undefined) exchange.route = site.routes.lookup(path, exchange.head)
    return NEXT
  }
}
