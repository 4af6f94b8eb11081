// Where the requests of a site or route are sent, and what changes in them on the way.
import type { ProxyAction, RouteSettings } from '@reverse-proxy/shared/config/config'
import type { PathRewrite } from '../message/path-rewrite.ts'
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
