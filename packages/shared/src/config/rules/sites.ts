// Rules about sites: hosts, upstreams, and keys that have no effect.
import { parseBalance } from '../balancing.ts'
import { parseHostName } from '../host-name.ts'
import { configIssue, formatPath, type ConfigIssue } from '../issues.ts'
import { inherit } from '../sites/inherit.ts'
import {
  everyHostOf,
  everySettingsOf,
  everySiteOf,
  hostsOf,
  listenersOf,
  routesOf,
  upstreamsOf,
  type Located,
  type Rule,
} from './rule.ts'
import type { SettingsFile, SiteFile, Valid } from '../schema.ts'
import { parseUpstream } from '../upstream.ts'

/** Each listener has a site. */
export const ruleListenerSites: Rule = function* (file) {
  for (const { value, at } of listenersOf(file)) {
    if (value.sites?.length !== 0) continue
    const hint = 'add a [[listeners.sites]] table, or a file of [[sites]] that the key include names'
    yield configIssue('SITES_EMPTY', [...at, 'sites'], 'the listener has no sites', hint)
  }
}

/** Each host of a site is a valid host name. */
export const ruleHosts: Rule = function* (file, { toAscii }) {
  for (const { value, at } of everyHostOf(file)) {
    const name = parseHostName(value, toAscii)
    if (typeof name !== 'string') yield configIssue(name.code, at, name.message, name.hint)
  }
}

/** No host occurs twice, over all listeners. */
export const ruleUniqueHosts: Rule = function* (file) {
  const first = new Map<string, string>()
  for (const site of everySiteOf(file)) {
    for (const { value, at } of hostsOf(site)) {
      if (value === '') continue
      const host = value.toLowerCase()
      const owner = first.get(host)
      if (owner === undefined) {
        first.set(host, formatPath(site.at))
      } else {
        const message = `"${host}" is already the host of ${owner}`
        yield configIssue('HOST_DUPLICATE', at, message, 'remove one of the two, or write another name')
      }
    }
  }
}

/** Each upstream is `host:port`, with the scheme in a key of its own. */
export const ruleUpstreams: Rule = function* (file) {
  for (const { value, at } of everySettingsOf(file)) {
    for (const { value: upstream, at: key } of upstreamsOf({ value, at })) {
      if (upstream === '') {
        yield configIssue(
          'UPSTREAM_MISSING',
          key,
          'the upstream is empty',
          'write host:port, such as "127.0.0.1:3000"',
        )
        continue
      }
      const parsed = parseUpstream(upstream)
      if ('message' in parsed) yield configIssue('UPSTREAM_INVALID', key, parsed.message, parsed.hint)
    }
  }
}

/** Peers of one upstream: a known policy, no two at one address, and not all of them backups. */
export const rulePeers: Rule = function* (file) {
  for (const { value, at } of everySettingsOf(file)) {
    const seen = new Set<string>()
    for (const { value: address, at: key } of upstreamsOf({ value, at })) {
      const parsed = parseUpstream(address)
      if ('message' in parsed) continue
      const place = `${parsed.host} ${parsed.port}`
      const hint = 'remove one of the two; to give an upstream a greater share, write { address, weight }'
      if (seen.has(place)) yield configIssue('UPSTREAM_DUPLICATE', key, `"${address}" is there twice`, hint)
      seen.add(place)
    }
    const { upstream, balance } = value
    if (balance !== undefined && parseBalance(balance) === undefined) {
      const hint = 'write least_requests, round_robin, client, header:NAME or cookie:NAME'
      yield configIssue('BALANCE_INVALID', [...at, 'balance'], `"${balance}" is no way to balance`, hint)
    }
    if (upstream === undefined || typeof upstream === 'string') continue
    if (upstream.every((peer) => typeof peer === 'object' && peer.backup === true)) {
      const hint = 'leave backup out for the upstreams that get the requests'
      yield configIssue('UPSTREAM_ALL_BACKUP', [...at, 'upstream'], 'every upstream is a backup', hint)
    }
  }
}

export const ruleUnusedKeys: Rule = function* (file) {
  if (file.group !== undefined && !Object.hasOwn(file, 'user')) {
    yield configIssue(
      'KEY_UNUSED',
      ['group'],
      'group has no effect without user',
      'add user, or remove group',
    )
  }
  for (const site of everySiteOf(file)) yield* unusedCaFiles(site, file.defaults ?? {})
}

function* unusedCaFiles(
  site: Located<Valid<SiteFile>>,
  defaults: Valid<SettingsFile>,
): Generator<ConfigIssue> {
  const settings = inherit(defaults, site.value)
  const routes = [...routesOf(site)].map(({ value, at }) => ({
    value,
    at,
    inherited: inherit(settings, value),
  }))
  const users = [{ value: site.value, at: site.at, inherited: settings }, ...routes]
  for (const { value, at, inherited } of users) {
    if (value.upstream_ca_file === undefined || inherited.upstream_scheme !== 'http') continue
    // A key that its site does not use may be for one of its routes.
    if (value === site.value && routes.some((route) => route.inherited.upstream_scheme !== 'http')) continue
    const message = 'upstream_ca_file has no effect on an upstream with upstream_scheme = "http"'
    const hint = 'add upstream_scheme = "https", or remove upstream_ca_file'
    yield configIssue('KEY_UNUSED', [...at, 'upstream_ca_file'], message, hint)
  }
}
