// Handler of a site with an upstream: a request is forwarded, a WebSocket handshake becomes a tunnel.
import { openStreamTunnel } from '../../forward/extended-connect.ts'
import type { WebSocketProxy } from '../../forward/http-proxy.ts'
import type { Route } from '../../forward/route.ts'
import { forward, type TransportDeps } from '../../forward/transport.ts'
import { openTunnel, type UpgradeDeps } from '../../forward/upgrade.ts'
import type { ClientExchange, Handler } from '../../http/client-exchange.ts'
import { Http2Exchange } from '../../http/http2-exchange.ts'
import { UpgradeExchange } from '../../http/upgrade-exchange.ts'

export interface ProxyDeps extends TransportDeps, UpgradeDeps {
  readonly limits: TransportDeps['limits'] & UpgradeDeps['limits']
  readonly webSocketProxy: WebSocketProxy
}

export class ProxyHandler implements Handler {
  readonly #route: Route
  readonly #deps: ProxyDeps

  constructor(route: Route, deps: ProxyDeps) {
    this.#route = route
    this.#deps = deps
  }

  handle(exchange: ClientExchange): void {
    if (!exchange.head.upgrade) forward(exchange, this.#route, this.#deps)
    else if (exchange instanceof UpgradeExchange)
      openTunnel(this.#deps.webSocketProxy, exchange, this.#route, this.#deps)
    else if (exchange instanceof Http2Exchange) openStreamTunnel(exchange, this.#route, this.#deps)
  }
}
