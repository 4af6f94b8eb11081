// The sites of one listener as routes, each with its pool. A reload keeps the pool of every site whose
// upstream is still the same, and lets the others finish.
import type { Limits, Site } from '@reverse-proxy/shared/config/config'
import { Router } from '../http/router.ts'
import type { Route } from './route.ts'
import { type UpstreamAddress } from './upstream-connector.ts'
import { UpstreamPool } from './upstream-pool.ts'

export interface WelcomeAddress {
  readonly host: string
  readonly port: number
}

export class Routes {
  readonly #resolveWelcome: () => WelcomeAddress
  #pools = new Map<string, UpstreamPool>()
  #router = new Router<Route>([])

  constructor(resolveWelcome: () => WelcomeAddress) {
    this.#resolveWelcome = resolveWelcome
  }

  get router(): Router<Route> {
    return this.#router
  }

  configure(sites: readonly Site[], limits: Pick<Limits, 'upstreamConnectionsPerSite'>): void {
    const pools = new Map<string, UpstreamPool>()
    const entries: [string, Route][] = []
    for (const site of sites) {
      const address = this.#addressOf(site)
      const key = JSON.stringify([site.host, address])
      const poolLimits = {
        maxConnections: limits.upstreamConnectionsPerSite,
        connectTimeoutMs: site.connectTimeoutMs,
      }
      const pool = this.#pools.get(key) ?? new UpstreamPool(address, poolLimits)
      pool.configure(poolLimits)
      pools.set(key, pool)
      entries.push([site.host, { site, pool }])
    }
    for (const [key, pool] of this.#pools) if (!pools.has(key)) pool.close()
    this.#pools = pools
    this.#router = new Router(entries)
  }

  /** Nothing more will be asked. */
  close(): void {
    for (const pool of this.#pools.values()) pool.close()
  }

  destroy(): void {
    for (const pool of this.#pools.values()) pool.destroy()
  }

  #addressOf({ upstream }: Site): UpstreamAddress {
    if (upstream.kind === 'welcome') return { scheme: 'http', caPem: undefined, ...this.#resolveWelcome() }
    const { scheme, host, port, caPem } = upstream
    return { scheme, host, port, caPem }
  }
}
