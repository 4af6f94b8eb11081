// The opening handshake of a WebSocket with the upstream (RFC 6455 4), for clients of both protocols: the request that
// we send, the check of the response, and the response to the client if it fails.
import { createHash, randomBytes } from 'node:crypto'
import type { ClientRequest, IncomingMessage } from 'node:http'
import type { AccessLog } from '../observability/access-log-entry.ts'
import type { Exchange } from '../protocol/exchange.ts'
import { sendError } from '../protocol/error-response.ts'
import { upstreamFault } from '../upstream/connections/errors.ts'
import { upstreamHeadersOf, upstreamPathOf, type Route } from '../upstream/route.ts'

/** RFC 6455 1.3. */
const ACCEPT_GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'
const KEY_BYTES = 16
const KEY_NAME = 'sec-websocket-key'

/** A fresh Sec-WebSocket-Key. */
export function newWebSocketKey(): string {
  return randomBytes(KEY_BYTES).toString('base64')
}

/**
 * Gives `request`, which has not been sent, the path and the whole header section for `exchange`.
 * @param route where it goes
 * @param key instead of the client's
 */
export function writeHandshake(request: ClientRequest, exchange: Exchange, route: Route, key?: string): void {
  request.path = upstreamPathOf(exchange, route)
  for (const name of request.getHeaderNames()) request.removeHeader(name)
  const { list: headers } = upstreamHeadersOf(exchange, route, exchange.head.rawHeaders)
  headers.push('Connection', 'Upgrade', 'Upgrade', 'websocket')
  for (let i = 0; i < headers.length; i += 2) {
    if (key !== undefined && headers[i]!.toLowerCase() === KEY_NAME) continue
    request.appendHeader(headers[i]!, headers[i + 1]!)
  }
  if (key !== undefined) request.appendHeader('Sec-WebSocket-Key', key)
}

/** Whether a 101 switches to WebSocket and, if the key is ours, proves that the upstream has read it. */
export function isSwitching({ headers }: Pick<IncomingMessage, 'headers'>, key?: string): boolean {
  if (headers.upgrade?.toLowerCase() !== 'websocket') return false
  return key === undefined || headers['sec-websocket-accept'] === acceptValueOf(key)
}

/** The tunnel has failed: responds to the client and logs the cause. Has no effect if a response has begun. */
export function failHandshake(exchange: Exchange, accessLog: AccessLog, error: Error): void {
  if (exchange.isOver || exchange.headersSent) return
  const { code, words } = upstreamFault(error)
  const { host } = exchange.request
  accessLog.upstreamError({ host, upstream: exchange.upstream ?? '', error: words })
  sendError(exchange, code)
}

function acceptValueOf(key: string): string {
  return createHash('sha1')
    .update(key + ACCEPT_GUID)
    .digest('base64')
}
