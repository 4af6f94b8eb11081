// Adapter for http-proxy, which carries WebSockets of HTTP/1.1. Its upgrade pass sees a method and a header of our
// handshake, nothing else. None of its web passes is left: one of them drops Transfer-Encoding but pipes the body,
// which is request smuggling.
import type { Agent, ClientRequest } from 'node:http'
import type { Socket } from 'node:net'
import httpProxy from 'http-proxy'

/** The handshake as http-proxy's upgrade pass sees it. */
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

export interface WebSocketProxy {
  ws(
    handshake: Handshake,
    socket: Socket,
    firstBytes: Buffer,
    options: UpgradeOptions,
    onError: (error: Error) => void,
  ): void
}

interface StockProxy extends WebSocketProxy {
  webPasses: readonly never[]
  on(event: 'proxyReqWs', listener: (request: ClientRequest, handshake: Handshake) => void): void
}

export function createWebSocketProxy(): WebSocketProxy {
  // It refuses to run without a target, though ours is chosen for each request.
  const created: unknown = httpProxy.createProxyServer({
    target: { protocol: 'http:', host: 'route.invalid', port: 80 },
  })
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- its own types know only Node's classes
  const proxy = created as StockProxy
  proxy.webPasses = []
  proxy.on('proxyReqWs', (request, handshake) => handshake.onRequest(request))
  return proxy
}
