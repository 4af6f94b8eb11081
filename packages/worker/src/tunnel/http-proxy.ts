// Adapter for http-proxy, which carries WebSockets of HTTP/1.1. Its upgrade pass sees the method and one header field of
// our handshake, nothing else. Its web passes are removed: one of them drops Transfer-Encoding but pipes the body, which
// is request smuggling.
import type { Agent, ClientRequest } from 'node:http'
import type { Socket } from 'node:net'
import httpProxy from 'http-proxy'

/** The handshake as http-proxy's upgrade pass sees it. */
export interface Handshake {
  readonly method: 'GET'
  readonly url: string
  readonly headers: { readonly upgrade: 'websocket' }
  /** The pass has made the request to the upstream and has not sent it. */
  onRequest(request: ClientRequest): void
}

export interface WebSocketProxy {
  /**
   * @param socket the client's
   * @param upstream the agent with the connection for the handshake
   */
  join(
    handshake: Handshake,
    socket: Socket,
    firstBytes: Buffer,
    upstream: Agent,
    onError: (error: Error) => void,
  ): void
}

interface UpgradeOptions {
  readonly target: typeof TARGET
  readonly agent: Agent
  /** Keeps url.parse away from the URL. */
  readonly toProxy: true
}

interface StockProxy {
  webPasses: readonly never[]
  ws(
    handshake: Handshake,
    socket: Socket,
    firstBytes: Buffer,
    options: UpgradeOptions,
    onError: (error: Error) => void,
  ): void
  on(event: 'proxyReqWs', listener: (request: ClientRequest, handshake: Handshake) => void): void
}

/** It refuses to run without a target, though the agent decides; `https` would make it verify the name in Host. */
const TARGET = { protocol: 'http:', host: 'upstream.invalid', port: 80 } as const

export function createWebSocketProxy(): WebSocketProxy {
  const created: unknown = httpProxy.createProxyServer({ target: TARGET })
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- its own types know only Node's classes
  const proxy = created as StockProxy
  proxy.webPasses = []
  proxy.on('proxyReqWs', (request, handshake) => handshake.onRequest(request))
  return {
    join: (handshake, socket, firstBytes, agent, onError) =>
      proxy.ws(handshake, socket, firstBytes, { target: TARGET, agent, toProxy: true }, onError),
  }
}
