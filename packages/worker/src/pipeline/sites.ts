// Compiles the sites of one listener, each with its upstream and its handler. A reload keeps the upstream of every site
// that stays, which keeps what it can of its connections.
import type { Limits, ProxyAction, Site } from '@reverse-proxy/shared/config/config'
import { siteNameOf } from '@reverse-proxy/shared/config/sites'
import { AccessList } from '../access/access-list.ts'
import type { Handler, ServedRoute } from '../protocol/exchange.ts'
import { Router } from './router.ts'
import type { Route } from '../upstream/route.ts'
import type { PeerAddress } from '../upstream/peer.ts'
import { Upstream, type UpstreamDeps, type UpstreamSettings } from '../upstream/upstream.ts'

export interface WelcomeAddress {
  readonly host: string
  readonly port: number
}

export class CompiledSites {
  readonly #resolveWelcome: () => WelcomeAddress
  readonly #upstreamDeps: UpstreamDeps
  readonly #handlerOf: (route: Route) => Handler
  /** By name of the site. */
  #upstreams = new Map<string, Upstream>()
  #router = new Router<ServedRoute>([])

  constructor(
    resolveWelcome: () => WelcomeAddress,
    upstreamDeps: UpstreamDeps,
    handlerOf: (route: Route) => Handler,
  ) {
    this.#resolveWelcome = resolveWelcome
    this.#upstreamDeps = upstreamDeps
    this.#handlerOf = handlerOf
  }

  get router(): Router<ServedRoute> {
    return this.#router
  }

  configure(
    sites: readonly Site[],
    limits: Pick<Limits, 'upstreamConnectionsPerSite' | 'upstreamMaxConnections'>,
  ): void {
    const upstreams = new Map<string, Upstream>()
    const entries: [string, ServedRoute][] = []
    for (const site of sites) {
      const { action } = site
      const siteName = siteNameOf(site)
      const settings = {
        ...policyOf(action),
        peers: this.#peersOf(action),
        maxAwaitingHead: limits.upstreamConnectionsPerSite,
        maxConnections: limits.upstreamMaxConnections ?? Infinity,
        connectTimeoutMs: action.connectTimeoutMs,
      }
      const kept = this.#upstreams.get(siteName)
      kept?.configure(settings)
      const upstream = kept ?? new Upstream(settings, this.#upstreamDeps)
      upstreams.set(siteName, upstream)
      const handler = this.#handlerOf({ settings: site, action, upstream })
      const access = site.access && new AccessList(site.access)
      const route: ServedRoute = { siteName, settings: site, access, filters: [], handler }
      for (const host of site.hosts) entries.push([host, route])
    }
    for (const [name, upstream] of this.#upstreams) if (!upstreams.has(name)) upstream.close()
    this.#upstreams = upstreams
    this.#router = new Router(entries)
  }

  /** Call when no more requests arrive. */
  close(): void {
    for (const upstream of this.#upstreams.values()) upstream.close()
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
