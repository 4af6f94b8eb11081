// http-proxy as it is used here, with the types of what really passes through it: our exchanges, which
// its passes never look at, and our handshakes, of which its upgrade pass sees a method and a header.
// None of its own web passes is left: the one that drops Transfer-Encoding pipes the body all the
// same, which is request smuggling, and the others are no better for a proxy in front of strangers.
import type { Agent, ClientRequest } from 'node:http'
import type { Socket } from 'node:net'
import httpProxy from 'http-proxy'
import type { ClientExchange } from '../http/client-exchange.ts'

/** A pass that has answered or sent the request says true: no other pass is called. */
export type Pass = (exchange: ClientExchange) => boolean | void

/** What the upgrade pass is to take for a request. */
export interface Handshake {
  readonly method: 'GET'
  readonly url: string
  readonly headers: { readonly upgrade: 'websocket' }
  /** The pass has made the request to the upstream, and has not sent it. */
  onRequest(request: ClientRequest): void
}

interface UpgradeOptions {
  readonly target: { readonly protocol: string; readonly host: string; readonly port: number }
  readonly agent: Agent
  /** Keeps url.parse away from `url`. */
  readonly toProxy: true
}

export interface ProxyPipeline {
  /** Calls the passes in order, until one says true. Throws what a pass throws. */
  web(exchange: ClientExchange, sameExchange: ClientExchange): void
  ws(
    handshake: Handshake,
    socket: Socket,
    firstBytes: Buffer,
    options: UpgradeOptions,
    onError: (error: Error) => void,
  ): void
}

interface StockPipeline extends ProxyPipeline {
  webPasses: readonly Pass[]
  on(event: 'proxyReqWs', listener: (request: ClientRequest, handshake: Handshake) => void): void
}

export function createPipeline(passes: readonly Pass[]): ProxyPipeline {
  // It refuses to run without a target, though ours is chosen for each request.
  const created: unknown = httpProxy.createProxyServer({
    target: { protocol: 'http:', host: 'route.invalid', port: 80 },
  })
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- its own types know only Node's classes
  const proxy = created as StockPipeline
  proxy.webPasses = passes
  proxy.on('proxyReqWs', (request, handshake) => handshake.onRequest(request))
  return proxy
}
