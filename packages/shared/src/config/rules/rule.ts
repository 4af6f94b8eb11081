// The shape of a rule, and how rules walk a file with missing parts.
import type { ConfigIssue, ConfigPath } from '../issues.ts'
import { inherit } from '../sites/inherit.ts'
import type {
  ConfigFile,
  ListenerFile,
  RouteFile,
  SettingsFile,
  SiteFile,
  TlsFile,
  Valid,
} from '../schema.ts'

export interface RuleContext {
  /** The command line's --allow-wildcard-bind. */
  readonly allowWildcardBind: boolean
  /** Makes a path of the file absolute. */
  readonly resolvePath: (path: string) => string
  /** Converts a name with letters outside ASCII to its `xn--` form; '' if it has none. */
  readonly toAscii: (name: string) => string
}

/** Yields every violation; ignores values that are undefined. */
export type Rule = (file: Valid<ConfigFile>, context: RuleContext) => Iterable<ConfigIssue>

export interface Located<T> {
  readonly value: T
  readonly at: ConfigPath
}

export function* listenersOf(file: Valid<ConfigFile>): Generator<Located<Valid<ListenerFile>>> {
  for (const [index, value] of (file.listeners ?? []).entries()) {
    if (value !== undefined) yield { value, at: ['listeners', index] }
  }
}

export function* sitesOf(listener: Located<Valid<ListenerFile>>): Generator<Located<Valid<SiteFile>>> {
  for (const [index, value] of (listener.value.sites ?? []).entries()) {
    if (value !== undefined) yield { value, at: [...listener.at, 'sites', index] }
  }
}

export function* everySiteOf(file: Valid<ConfigFile>): Generator<Located<Valid<SiteFile>>> {
  for (const listener of listenersOf(file)) yield* sitesOf(listener)
}

export function* routesOf(site: Located<Valid<SiteFile>>): Generator<Located<Valid<RouteFile>>> {
  for (const [index, value] of (site.value.routes ?? []).entries()) {
    if (value !== undefined) yield { value, at: [...site.at, 'routes', index] }
  }
}

export interface Settings extends Located<Valid<SettingsFile>> {
  /** The table with the keys that it inherits. */
  readonly inherited: Valid<SettingsFile>
}

/** Every table that takes the keys of a site, as it is written: [defaults], each site, each route. */
export function* everySettingsOf(file: Valid<ConfigFile>): Generator<Settings> {
  const defaults = file.defaults ?? {}
  if (file.defaults !== undefined) yield { value: defaults, inherited: defaults, at: ['defaults'] }
  for (const site of everySiteOf(file)) {
    const inherited = inherit(defaults, site.value)
    yield { ...site, inherited }
    for (const route of routesOf(site)) yield { ...route, inherited: inherit(inherited, route.value) }
  }
}

/** Every host of a site as it is written. */
export function* hostsOf({ value, at }: Located<Valid<SiteFile>>): Generator<Located<string>> {
  const written: Valid<SiteFile['host']> | undefined = value.host
  if (written === undefined) return
  if (typeof written === 'string') {
    yield { value: written, at: [...at, 'host'] }
    return
  }
  for (const [index, host] of written.entries()) {
    if (host !== undefined) yield { value: host, at: [...at, 'host', index] }
  }
}

export function* everyHostOf(file: Valid<ConfigFile>): Generator<Located<string>> {
  for (const site of everySiteOf(file)) yield* hostsOf(site)
}

/** Every address of the upstream of a site as it is written. */
export function* upstreamsOf({ value, at }: Located<Valid<SettingsFile>>): Generator<Located<string>> {
  const written: Valid<SiteFile['upstream']> | undefined = value.upstream
  if (written === undefined) return
  if (typeof written === 'string') {
    yield { value: written, at: [...at, 'upstream'] }
    return
  }
  for (const [index, peer] of written.entries()) {
    if (typeof peer === 'string') yield { value: peer, at: [...at, 'upstream', index] }
    else if (peer?.address !== undefined)
      yield { value: peer.address, at: [...at, 'upstream', index, 'address'] }
  }
}

export function* tlsOf(file: Valid<ConfigFile>): Generator<Located<Valid<TlsFile>>> {
  for (const { value, at } of listenersOf(file)) {
    if (value.tls !== undefined) yield { value: value.tls, at: [...at, 'tls'] }
  }
}
