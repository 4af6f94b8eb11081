// Compiles the sites of one listener, each with its upstream pool and its handler. A reload keeps the pool of every
// site whose upstream is unchanged; requests in the other pools finish.
import type { Limits, Site } from '@reverse-proxy/shared/config/config'
import type { Handler, ServedSite } from '../protocol/exchange.ts'
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
  /** By host of the site. */
  #pools = new Map<string, UpstreamPool>()
  #router = new Router<ServedSite>([])

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

  get router(): Router<ServedSite> {
    return this.#router
  }

  configure(
    sites: readonly Site[],
    limits: Pick<Limits, 'upstreamConnectionsPerSite' | 'upstreamMaxConnections'>,
  ): void {
    const pools = new Map<string, UpstreamPool>()
    const entries: [string, ServedSite][] = []
    for (const site of sites) {
      const address = this.#addressOf(site)
      const poolLimits = {
        maxAwaitingHead: limits.upstreamConnectionsPerSite,
        maxConnections: limits.upstreamMaxConnections ?? Infinity,
        connectTimeoutMs: site.connectTimeoutMs,
      }
      const before = this.#pools.get(site.host)
      const pool =
        before !== undefined && isSameUpstream(before.address, address)
          ? before
          : new UpstreamPool(address, poolLimits, this.#trust, this.#names)
      pool.configure(poolLimits)
      pools.set(site.host, pool)
      entries.push([site.host, { config: site, filters: [], handler: this.#handlerOf({ site, pool }) }])
    }
    for (const [host, pool] of this.#pools) if (pools.get(host) !== pool) pool.close()
    this.#pools = pools
    this.#router = new Router(entries)
  }

  /** Call when no more requests arrive. */
  close(): void {
    for (const pool of this.#pools.values()) pool.close()
  }

  #addressOf({ upstream }: Site): UpstreamAddress {
    if (upstream.kind === 'welcome') return { scheme: 'http', caPem: undefined, ...this.#resolveWelcome() }
    const { scheme, host, port, caPem } = upstream
    return { scheme, host, port, caPem }
  }
}

function isSameUpstream(a: UpstreamAddress, b: UpstreamAddress): boolean {
  return a.scheme === b.scheme && a.host === b.host && a.port === b.port && a.caPem === b.caPem
}
