// Compiles the sites of one listener and their routes, each with its handler and its filters. A reload keeps the
// upstream of every site and route that stays, which keeps what it can of its connections.
import { assertNever } from '@reverse-proxy/shared/assert-never'
import type {
  ForwardAuthSettings,
  Limits,
  ProxyAction,
  RouteSettings,
  Site,
} from '@reverse-proxy/shared/config/config'
import { siteNameOf } from '@reverse-proxy/shared/config/sites'
import { AccessList } from '../access/access-list.ts'
import { PathRewrite } from '../message/path-rewrite.ts'
import type { Gate, Handler, ResponseFilter, ServedRoute } from '../protocol/exchange.ts'
import { RequestHeaderChanges } from '../protocol/request-headers.ts'
import type { PeerAddress } from '../upstream/peer.ts'
import type { Route } from '../upstream/route.ts'
import { Upstream, type UpstreamDeps, type UpstreamSettings } from '../upstream/upstream.ts'
import { PlainHttpFilter } from './filters/plain-http.ts'
import { SiteHeadersFilter } from './filters/site-headers.ts'
import { RedirectHandler } from './handlers/redirect.ts'
import { RespondHandler } from './handlers/respond.ts'
import { RouteTable } from './route-table.ts'
import { Router } from './router.ts'

export interface WelcomeAddress {
  readonly host: string
  readonly port: number
}

/** A site as requests are matched to it. */
export interface ServedSite {
  /** Serves requests that no route matches. */
  readonly own: ServedRoute
  /** Undefined if there are none. */
  readonly routes: RouteTable<ServedRoute> | undefined
}

type UpstreamLimits = Pick<Limits, 'upstreamConnectionsPerSite' | 'upstreamMaxConnections'>

/** For one site or route: the upstream of its action. */
type UpstreamFor = (action: ProxyAction) => Upstream

/** The path that `strip_prefix` of a site removes, since a site has no path of its own. */
/** Creates the gate that asks a service. */
type GateFactory = (settings: ForwardAuthSettings, upstream: Upstream) => Gate

const SITE_PATH = '/'
const PLAIN_HTTP = new PlainHttpFilter()

export class CompiledSites {
  readonly #resolveWelcome: () => WelcomeAddress
  readonly #isPlain: boolean
  readonly #upstreamDeps: UpstreamDeps
  readonly #handlerOf: (route: Route) => Handler
  readonly #gateOf: GateFactory
  /** By site and route. Routes of a site with the same upstream share the one of the first. */
  #upstreams = new Map<string, Upstream>()
  #router = new Router<ServedSite>([])

  /** @param isPlain their listener speaks plain HTTP */
  constructor(
    isPlain: boolean,
    resolveWelcome: () => WelcomeAddress,
    upstreamDeps: UpstreamDeps,
    handlerOf: (route: Route) => Handler,
    gateOf: GateFactory,
  ) {
    this.#isPlain = isPlain
    this.#resolveWelcome = resolveWelcome
    this.#upstreamDeps = upstreamDeps
    this.#handlerOf = handlerOf
    this.#gateOf = gateOf
  }

  get router(): Router<ServedSite> {
    return this.#router
  }

  configure(sites: readonly Site[], limits: UpstreamLimits): void {
    const before = this.#upstreams
    this.#upstreams = new Map()
    const entries: [string, ServedSite][] = []
    for (const site of sites) {
      const served = this.#serve(site, limits, before)
      for (const host of site.hosts) entries.push([host, served])
    }
    for (const [key, upstream] of before) if (!this.#upstreams.has(key)) upstream.close()
    this.#router = new Router(entries)
  }

  /** Call when no more requests arrive. */
  close(): void {
    for (const upstream of this.#upstreams.values()) upstream.close()
  }

  #serve(site: Site, limits: UpstreamLimits, before: ReadonlyMap<string, Upstream>): ServedSite {
    const siteName = siteNameOf(site)
    const shared = new Map<string, Upstream>()
    const upstreamOf = (owner: string, action: ProxyAction): Upstream => {
      const policy = { ...policyOf(action), peers: this.#peersOf(action) }
      const { connectTimeoutMs } = action
      const sameKey = JSON.stringify([policy, connectTimeoutMs])
      let upstream = shared.get(sameKey)
      if (upstream !== undefined) return upstream
      const settings = {
        ...policy,
        maxAwaitingHead: limits.upstreamConnectionsPerSite,
        maxConnections: limits.upstreamMaxConnections ?? Infinity,
        connectTimeoutMs,
      }
      const key = `${siteName} ${owner}`
      upstream = before.get(key)
      if (upstream === undefined) upstream = new Upstream(settings, this.#upstreamDeps)
      else upstream.configure(settings)
      shared.set(sameKey, upstream)
      this.#upstreams.set(key, upstream)
      return upstream
    }
    const gateOf = (settings: ForwardAuthSettings): Gate => this.#newGate(siteName, settings, limits, before)
    const own = this.#serveRoute(siteName, site, SITE_PATH, (action) => upstreamOf('', action), gateOf)
    if (site.routes.length === 0) return { own, routes: undefined }
    const routes = site.routes.map((route) => {
      const upstreamFor: UpstreamFor = (action) => upstreamOf(JSON.stringify(route.match), action)
      return [route.match, this.#serveRoute(siteName, route, route.match.path, upstreamFor, gateOf)] as const
    })
    return { own, routes: new RouteTable(own, routes) }
  }

  #serveRoute(
    siteName: string,
    settings: RouteSettings,
    path: string,
    upstreamFor: UpstreamFor,
    gateOf: (settings: ForwardAuthSettings) => Gate,
  ): ServedRoute {
    const handler = this.#newHandler(settings, path, upstreamFor)
    const gate = settings.forwardAuth && gateOf(settings.forwardAuth)
    const access = settings.access && new AccessList(settings.access)
    return { siteName, settings, access, gate, filters: filtersOf(settings, this.#isPlain), handler }
  }

  /** The routes of a site that ask the same service share its connections. */
  #newGate(
    siteName: string,
    settings: ForwardAuthSettings,
    limits: UpstreamLimits,
    before: ReadonlyMap<string, Upstream>,
  ): Gate {
    const { scheme, host, port, timeoutMs } = settings
    const peers = [{ scheme, host, port, caPem: undefined, weight: 1, isBackup: false }]
    const upstreamSettings = {
      ...ASKED_ONCE,
      peers,
      maxAwaitingHead: limits.upstreamConnectionsPerSite,
      maxConnections: limits.upstreamMaxConnections ?? Infinity,
      connectTimeoutMs: timeoutMs,
    }
    const key = `${siteName} auth ${scheme}://${host}:${port}`
    let upstream = this.#upstreams.get(key) ?? before.get(key)
    if (upstream === undefined) upstream = new Upstream(upstreamSettings, this.#upstreamDeps)
    else upstream.configure(upstreamSettings)
    this.#upstreams.set(key, upstream)
    return this.#gateOf(settings, upstream)
  }

  #newHandler(settings: RouteSettings, path: string, upstreamFor: UpstreamFor): Handler {
    const { action, requestHeaders } = settings
    switch (action.kind) {
      case 'proxy':
        return this.#handlerOf({
          settings,
          action,
          upstream: upstreamFor(action),
          rewrite: rewriteOf(action, path),
          requestHeaders: requestHeaders.length === 0 ? undefined : new RequestHeaderChanges(requestHeaders),
        })
      case 'redirect':
        return new RedirectHandler(action, path)
      case 'respond':
        return new RespondHandler(action)
      default:
        return assertNever(action)
    }
  }

  #peersOf({ upstream, balancing }: ProxyAction): readonly PeerAddress[] {
    const only = { weight: 1, isBackup: false }
    if (upstream.kind === 'welcome')
      return [{ ...only, scheme: 'http', caPem: undefined, ...this.#resolveWelcome() }]
    const { scheme, host, port, caPem } = upstream
    const peers = balancing?.peers ?? []
    if (peers.length === 0) return [{ ...only, scheme, host, port, caPem }]
    return peers.map((peer) => ({ ...peer, scheme, caPem }))
  }
}

/** @param isPlain for a plain-HTTP port */
export function filtersOf({ responseHeaders }: RouteSettings, isPlain: boolean): readonly ResponseFilter[] {
  const filters: ResponseFilter[] = []
  if (responseHeaders.length > 0) filters.push(new SiteHeadersFilter(responseHeaders))
  if (isPlain) filters.push(PLAIN_HTTP)
  return filters
}

function rewriteOf({ stripPrefix, addPrefix }: ProxyAction, path: string): PathRewrite | undefined {
  return stripPrefix || addPrefix !== '' ? new PathRewrite(path, stripPrefix, addPrefix) : undefined
}

const ASKED_ONCE = {
  balance: { by: 'least_requests' },
  failAfter: 1,
  failWindowMs: 0,
  retryMs: 0,
} as const

function policyOf({ balancing }: ProxyAction): Pick<UpstreamSettings, keyof typeof ASKED_ONCE> {
  if (balancing === undefined) return ASKED_ONCE
  const { balance, failAfter, failWindowMs, retryMs } = balancing
  return { balance, failAfter, failWindowMs, retryMs }
}
