// Where the requests of a site, or of one of its routes, go.
import type { ProxyAction, RouteSettings } from '@reverse-proxy/shared/config/config'
import type { Upstream } from './upstream.ts'

export interface Route {
  readonly settings: RouteSettings
  /** The action of `settings`. */
  readonly action: ProxyAction
  readonly upstream: Upstream
}
