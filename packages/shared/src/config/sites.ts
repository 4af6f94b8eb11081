// Iterates over the listeners and sites of a configuration, and names sites. Pure.
import type { Listener, ProxyAction, RouteSettings, Site, TlsListener, Upstream } from './config.ts'

export function hasTls(listener: Listener): listener is TlsListener {
  return listener.tls.mode !== 'off'
}

/** The name of a site in metrics and status: its first host. */
export function siteNameOf({ hosts }: Pick<Site, 'hosts'>): string {
  const [name = ''] = hosts
  return name
}

/** Every site and every route. */
export function* settingsOf(sites: Iterable<Site>): Generator<RouteSettings> {
  for (const site of sites) {
    yield site
    yield* site.routes
  }
}

/** Every action with an upstream. */
export function* proxyActionsOf(sites: Iterable<Site>): Generator<ProxyAction> {
  for (const { action } of settingsOf(sites)) if (action.kind === 'proxy') yield action
}

/** Each peer of an action's upstream, as a separate upstream. */
export function upstreamsOf({ upstream, balancing }: ProxyAction): readonly Upstream[] {
  if (balancing === undefined || balancing.peers.length === 0 || upstream.kind === 'welcome')
    return [upstream]
  return balancing.peers.map(({ host, port }) => ({ ...upstream, host, port }))
}
