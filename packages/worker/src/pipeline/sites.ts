// Compiles the sites of one listener, each with its upstream pool and its handler. A reload keeps the pool of every
// site whose upstream is unchanged; requests in the other pools finish.
import type { Limits, ProxyAction, Site } from '@reverse-proxy/shared/config/config'
import { siteNameOf } from '@reverse-proxy/shared/config/sites'
import type { Handler, ServedRoute } from '../protocol/exchange.ts'
import { Router } from './router.ts'
import type { NameResolver } from '@reverse-proxy/shared/names/name-resolver'
import type { Route } from '../upstream/route.ts'
import { type UpstreamAddress } from '../upstream/connector.ts'
import { UpstreamPool } from '../upstream/pool.ts'
import type { UpstreamTrust } from '../upstream/trust.ts'

export interface WelcomeAddress {
  readonly host: string
  readonly port: number
}

export class CompiledSites {
  readonly #resolveWelcome: () => WelcomeAddress
  readonly #trust: UpstreamTrust
  readonly #names: NameResolver
  readonly #handlerOf: (route: Route) => Handler
  /** By name of the site. */
  #pools = new Map<string, UpstreamPool>()
  #router = new Router<ServedRoute>([])

  constructor(
    resolveWelcome: () => WelcomeAddress,
    trust: UpstreamTrust,
    names: NameResolver,
    handlerOf: (route: Route) => Handler,
  ) {
    this.#resolveWelcome = resolveWelcome
    this.#trust = trust
    this.#names = names
    this.#handlerOf = handlerOf
  }

  get router(): Router<ServedRoute> {
    return this.#router
  }

  configure(
    sites: readonly Site[],
    limits: Pick<Limits, 'upstreamConnectionsPerSite' | 'upstreamMaxConnections'>,
  ): void {
    const pools = new Map<string, UpstreamPool>()
    const entries: [string, ServedRoute][] = []
    for (const site of sites) {
      const { action } = site
      const siteName = siteNameOf(site)
      const address = this.#addressOf(action)
      const poolLimits = {
        maxAwaitingHead: limits.upstreamConnectionsPerSite,
        maxConnections: limits.upstreamMaxConnections ?? Infinity,
        connectTimeoutMs: action.connectTimeoutMs,
      }
      const before = this.#pools.get(siteName)
      const pool =
        before !== undefined && isSameUpstream(before.address, address)
          ? before
          : new UpstreamPool(address, poolLimits, this.#trust, this.#names)
      pool.configure(poolLimits)
      pools.set(siteName, pool)
      const handler = this.#handlerOf({ settings: site, action, pool })
      const route: ServedRoute = { siteName, settings: site, filters: [], handler }
      for (const host of site.hosts) entries.push([host, route])
    }
    for (const [name, pool] of this.#pools) if (pools.get(name) !== pool) pool.close()
    this.#pools = pools
    this.#router = new Router(entries)
  }

  /** Call when no more requests arrive. */
  close(): void {
    for (const pool of this.#pools.values()) pool.close()
  }

  #addressOf({ upstream }: ProxyAction): UpstreamAddress {
    if (upstream.kind === 'welcome') return { scheme: 'http', caPem: undefined, ...this.#resolveWelcome() }
    const { scheme, host, port, caPem } = upstream
    return { scheme, host, port, caPem }
  }
}

function isSameUpstream(a: UpstreamAddress, b: UpstreamAddress): boolean {
  return a.scheme === b.scheme && a.host === b.host && a.port === b.port && a.caPem === b.caPem
}
