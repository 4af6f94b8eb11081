// How the sites of a configuration are walked and named. Pure.
import type { ProxyAction, Site, Upstream } from './config.ts'

/** What metrics and the status call a site: its first host. */
export function siteNameOf({ hosts }: Pick<Site, 'hosts'>): string {
  const [name = ''] = hosts
  return name
}

/** Every action that leads to an upstream. */
export function* proxyActionsOf(sites: Iterable<Site>): Generator<ProxyAction> {
  for (const { action } of sites) yield action
}

/** Every peer of an action's upstream, as an upstream of its own. */
export function upstreamsOf({ upstream, balancing }: ProxyAction): readonly Upstream[] {
  if (balancing === undefined || balancing.peers.length === 0 || upstream.kind === 'welcome')
    return [upstream]
  return balancing.peers.map(({ host, port }) => ({ ...upstream, host, port }))
}
