// How the sites of a configuration are walked and named. Pure.
import type { ProxyAction, Site } from './config.ts'

/** What metrics and the status call a site: its first host. */
export function siteNameOf({ hosts }: Pick<Site, 'hosts'>): string {
  const [name = ''] = hosts
  return name
}

/** Every action that leads to an upstream. */
export function* proxyActionsOf(sites: Iterable<Site>): Generator<ProxyAction> {
  for (const { action } of sites) yield action
}
