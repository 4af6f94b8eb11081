// Where the requests of a site or route are sent, and what changes in them on the way.
import type { ProxyAction, RouteSettings } from '@reverse-proxy/shared/config/config'
import { upstreamRequestHeaders, type RequestHeaders } from '../message/headers.ts'
import type { PathRewrite } from '../message/path-rewrite.ts'
import { forwardedOf, type Exchange } from '../protocol/exchange.ts'
import type { RequestHeaderChanges } from '../protocol/request-headers.ts'
import type { Upstream } from './upstream.ts'

export interface Route {
  readonly settings: RouteSettings
  /** The action of `settings`. */
  readonly action: ProxyAction
  readonly upstream: Upstream
  /** Undefined: path and query go upstream byte for byte. */
  readonly rewrite: PathRewrite | undefined
  readonly requestHeaders: RequestHeaderChanges | undefined
}

/** Path and query as they go upstream. */
export function upstreamPathOf({ request: { path } }: Exchange, { rewrite }: Route): string {
  return rewrite?.apply(path) ?? path
}

/**
 * The header fields as they go upstream, without those that frame the body.
 * @param fields the client's, name, value, name, value ...
 */
export function upstreamHeadersOf(
  exchange: Exchange,
  { requestHeaders }: Route,
  fields: readonly string[],
): RequestHeaders {
  const headers = upstreamRequestHeaders(fields, forwardedOf(exchange))
  requestHeaders?.apply(headers.list, exchange)
  return headers
}
