// The order in which a request is judged and sent. Each pass either throws the ProxyError that the
// client is answered with, or leaves what it found out in the exchange for those behind it.
import type { Limits } from '@reverse-proxy/shared/config/config'
import { stackOf } from '@reverse-proxy/shared/error-text'
import { ProxyError } from '@reverse-proxy/shared/errors'
import type { Log } from '@reverse-proxy/shared/log-fields'
import { rateScopeOf } from '@reverse-proxy/shared/rate-limits'
import type { AccessLog } from '../http/access-log-entry.ts'
import type { ClientExchange } from '../http/client-exchange.ts'
import { answerError } from '../http/error-response.ts'
import { parseRequest } from '../http/framing.ts'
import { Http2Exchange } from '../http/http2-exchange.ts'
import type { Router } from '../http/router.ts'
import { UpgradeExchange } from '../http/upgrade-exchange.ts'
import { checkDeclaredLength } from '../limits/body.ts'
import type { ConnectionLimits } from '../limits/connections.ts'
import type { RefusalLog } from '../limits/refusal-log.ts'
import type { RateGate } from '../limits/rate-gate.ts'
import { openStreamTunnel } from './extended-connect.ts'
import { createPipeline, type Pass, type ProxyPipeline } from './http-proxy.ts'
import type { Route } from './route.ts'
import { forward } from './transport.ts'
import type { Tunnels } from './tunnels.ts'
import { openTunnel } from './upgrade.ts'

export interface PipelineDeps {
  readonly accessLog: AccessLog
  readonly log: Log
  readonly rateGate: RateGate
  readonly limits: () => Limits
  readonly router: () => Router<Route>
  readonly tunnels: Tunnels
  readonly connections: ConnectionLimits
  readonly refusalLog: RefusalLog
}

const CONTINUE = 100

export class Pipeline {
  readonly #deps: PipelineDeps
  readonly #proxy: ProxyPipeline

  constructor(deps: PipelineDeps) {
    this.#deps = deps
    this.#proxy = createPipeline([
      this.#parse,
      this.#findSite,
      this.#admitClient,
      this.#admitBody,
      this.#send,
    ])
  }

  /** Sees to it that `exchange` is answered, now or later. Never throws. */
  handle(exchange: ClientExchange): void {
    try {
      this.#proxy.web(exchange, exchange)
    } catch (error) {
      this.#onThrown(exchange, error)
    }
  }

  /** What is left for a request that had to wait for its client's rate limit. */
  readonly #resume = (exchange: ClientExchange): void => {
    try {
      this.#admitBody(exchange)
      this.#send(exchange)
    } catch (error) {
      this.#onThrown(exchange, error)
    }
  }

  #onThrown(exchange: ClientExchange, error: unknown): void {
    if (!(error instanceof ProxyError)) this.#deps.log.error('INTERNAL_ERROR', { error: stackOf(error) })
    answerError(exchange, error instanceof ProxyError ? error.code : 'INTERNAL')
  }

  readonly #parse: Pass = (exchange) => {
    exchange.request = parseRequest(exchange.head, this.#deps.limits())
  }

  readonly #findSite: Pass = (exchange) => {
    const { host } = exchange.request
    exchange.route = this.#deps.router().lookup(host)
    if (exchange.route === undefined) throw new ProxyError('UNKNOWN_HOST', 'no site of this listener')
    // RFC 9110 7.4: a connection made for one name does not serve another that its certificate does not prove.
    if (exchange.connection.certificate?.covers(host) === false) {
      throw new ProxyError('MISDIRECTED', 'not covered by the certificate of the connection')
    }
  }

  readonly #admitClient: Pass = (exchange) =>
    !this.#deps.rateGate.pass(exchange, rateScopeOf(routeOf(exchange).site), this.#resume)

  readonly #admitBody: Pass = (exchange) => {
    const { body, expectsContinue } = exchange.request
    if (body.kind === 'none') return
    if (body.kind === 'length') checkDeclaredLength(body.bytes, routeOf(exchange).site.bodyLimitBytes)
    if (expectsContinue) exchange.inform(CONTINUE, [])
  }

  readonly #send: Pass = (exchange) => {
    const route = routeOf(exchange)
    if (!exchange.head.upgrade) forward(exchange, route, this.#deps)
    else if (exchange instanceof UpgradeExchange) openTunnel(this.#proxy, exchange, route, this.#deps)
    else if (exchange instanceof Http2Exchange) openStreamTunnel(exchange, route, this.#deps)
    return true
  }
}

function routeOf(exchange: ClientExchange): Route {
  if (exchange.route === undefined) throw new TypeError('no route has been found yet')
  return exchange.route
}
