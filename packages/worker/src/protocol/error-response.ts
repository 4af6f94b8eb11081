// Responses that the proxy makes itself: the status text alone, without a cause and without a product name.
import { STATUS_CODES } from 'node:http'
import type { ErrorCode } from '@reverse-proxy/shared/errors'
import { ERRORS } from '@reverse-proxy/shared/errors'
import type { Exchange } from './exchange.ts'
import { WEBSOCKET_VERSION } from '../message/request-parser.ts'

/** Errors after which the next byte on an HTTP/1 connection may not be the start of a request. */
const CLOSING: ReadonlySet<ErrorCode> = new Set([
  'BAD_FRAMING',
  'BAD_HOST',
  'BAD_TARGET',
  'HEADERS_TOO_LARGE',
  'METHOD_NOT_ALLOWED',
  'BODY_STALLED',
  'BODY_TOO_LARGE',
])

/** Room may come at any time. */
const SOON: ReadonlySet<ErrorCode> = new Set([
  'TOO_MANY_TUNNELS',
  'UPSTREAM_MAX_CONNECTIONS',
  'UPSTREAM_QUEUE_FULL',
])
const SOON_SECS = '1'

/** RFC 9110 15.5.6: the methods that a client may use instead of CONNECT. */
const ALLOW = 'GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS'

/**
 * Responds with the status of `code`; `retryAfterSecs` becomes `Retry-After`. If a response has begun already, or `code`
 * has no status, cuts the response instead.
 */
export function sendError(exchange: Exchange, code: ErrorCode, retryAfterSecs?: number): void {
  if (exchange.isOver) return
  const { status } = ERRORS[code]
  if (exchange.headersSent || status === 0) {
    exchange.truncate()
    return
  }
  const extra: string[] = []
  if (retryAfterSecs !== undefined) extra.push('retry-after', String(retryAfterSecs))
  if (code === 'METHOD_NOT_ALLOWED') extra.push('allow', ALLOW)
  if (SOON.has(code)) extra.push('retry-after', SOON_SECS)
  if (code === 'WEBSOCKET_VERSION') {
    extra.push('sec-websocket-version', WEBSOCKET_VERSION)
    // RFC 9110 15.5.22; HTTP/2 has no such fields.
    if (exchange.head.protocol !== 'h2') extra.push('upgrade', 'websocket', 'connection', 'Upgrade, close')
  }
  if (CLOSING.has(code)) exchange.closeAfterwards()
  sendText(exchange, status, extra)
}

/** Sends a response with the status text as text/plain. */
export function sendText(exchange: Exchange, status: number, headers: string[] = []): void {
  headers.push('content-type', 'text/plain')
  sendBody(exchange, status, headers, statusText(status))
}

/** Sends a complete response that the proxy has made. */
export function sendBody(exchange: Exchange, status: number, headers: string[], text: string): void {
  const body = Buffer.from(text)
  const contentLength = String(body.length)
  exchange.respond({ status, reason: '', headers, contentLength })
  // RFC 9110 9.3.2: the response to HEAD gives the length of the body and has none.
  if (exchange.head.method === 'HEAD') exchange.end([])
  else exchange.endWith(body)
}

/** The same as bytes, for a connection on which no request could be parsed. */
export function rawErrorResponse(status: number): string {
  const text = statusText(status)
  return (
    `HTTP/1.1 ${status} ${text}\r\n` +
    `Content-Type: text/plain\r\nContent-Length: ${text.length}\r\nConnection: close\r\n\r\n${text}`
  )
}

function statusText(status: number): string {
  return STATUS_CODES[status] ?? 'Error'
}
