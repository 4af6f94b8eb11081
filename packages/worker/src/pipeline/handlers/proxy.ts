// Handler of a site with an upstream: a request is forwarded, a WebSocket handshake becomes a tunnel.
import { openStreamTunnel } from '../../tunnel/http2-tunnel.ts'
import type { WebSocketProxy } from '../../tunnel/http-proxy.ts'
import type { Route } from '../../upstream/route.ts'
import { forward, type TransportDeps } from './forward.ts'
import { openTunnel, type UpgradeDeps } from '../../tunnel/http1-tunnel.ts'
import type { Exchange, Handler } from '../../protocol/exchange.ts'
import { Http2Exchange } from '../../protocol/http2/exchange.ts'
import { UpgradeExchange } from '../../protocol/http1/upgrade-exchange.ts'

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

  handle(exchange: Exchange): void {
    if (!exchange.head.upgrade) forward(exchange, this.#route, this.#deps)
    else if (exchange instanceof UpgradeExchange)
      openTunnel(this.#deps.webSocketProxy, exchange, this.#route, this.#deps)
    else if (exchange instanceof Http2Exchange) openStreamTunnel(exchange, this.#route, this.#deps)
  }
}
