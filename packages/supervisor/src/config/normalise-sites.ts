// Converts the sites of a valid file, each with its routes: inheritance is resolved here, so that every site and route
// of the result says all that holds for it.
import { parseBalance, type Balancing, type PeerSettings } from '@reverse-proxy/shared/config/balancing'
import type {
  AccessSettings,
  Action,
  BasicAuthSettings,
  ForwardAuthSettings,
  HeaderChange,
  Route,
  RouteSettings,
  ScopedRateLimit,
  Site,
  Upstream,
} from '@reverse-proxy/shared/config/config'
import type { ConfigFile, RouteFile, SettingsFile, SiteFile } from '@reverse-proxy/shared/config/schema'
import { parseAuthUrl } from '@reverse-proxy/shared/config/sites/forward-auth'
import { inherit } from '@reverse-proxy/shared/config/sites/inherit'
import { parseRedirect } from '@reverse-proxy/shared/config/sites/redirect'
import { toRouteMatch } from '@reverse-proxy/shared/config/sites/route-match'
import { siteNameOf } from '@reverse-proxy/shared/config/sites'
import { parseUpstream } from '@reverse-proxy/shared/config/upstream'
import { refuse, toBanRule, toMs, toRateLimit, type NormaliseContext } from './normal-values.ts'

const DEFAULT_AUTH_SECS = 5

/** A table with what it inherits. */
type Inherited = SettingsFile

/** Throws CONFIG for a value that the checks should have rejected. */
export function toSite(file: SiteFile, whole: ConfigFile, context: NormaliseContext): Site {
  const hosts = (typeof file.host === 'string' ? [file.host] : file.host).map((host) => host.toLowerCase())
  const inherited = inherit(whole.defaults, file)
  const bodyLimitBytes = whole.body.limit_bytes
  const siteName = siteNameOf({ hosts })
  const ban = file.ban && toBanRule(file.ban, siteName)
  const settings = { ...toSettings(inherited, bodyLimitBytes, siteName, context), ...(ban && { ban }) }
  const parent = { siteName, inherited, settings, bodyLimitBytes, context }
  const routes = (file.routes ?? []).map((route) => toRoute(route, parent))
  return { ...settings, hosts, routes }
}

interface RouteParent {
  readonly siteName: string
  readonly inherited: Inherited
  readonly settings: RouteSettings
  readonly bodyLimitBytes: number
  readonly context: NormaliseContext
}

function toRoute(file: RouteFile, parent: RouteParent): Route {
  const { siteName, inherited, settings, bodyLimitBytes, context } = parent
  const match = toRouteMatch(file.path, file)
  const scope = `${siteName} ${JSON.stringify(match)}`
  const own = toSettings(inherit(inherited, file), bodyLimitBytes, scope, context)
  // Without a limit of its own it shares the buckets of its site.
  const { ban } = settings
  return {
    ...own,
    ...(ban && { ban }),
    rateLimit: file.rate_limit === undefined ? settings.rateLimit : own.rateLimit,
    match,
  }
}

function toSettings(
  file: Inherited,
  bodyLimitBytes: number,
  scope: string,
  context: NormaliseContext,
): RouteSettings {
  return {
    action: toAction(file, context),
    bodyLimitBytes: file.body?.limit_bytes ?? bodyLimitBytes,
    rateLimit: toScopedRateLimit(file, scope),
    access: toAccess(file),
    basicAuth: toBasicAuth(file, context),
    forwardAuth: toForwardAuth(file),
    requestHeaders: toHeaderChanges(file.request_headers),
    responseHeaders: toHeaderChanges(file.response_headers),
  }
}

function toAction(file: Inherited, context: NormaliseContext): Action {
  if (file.redirect !== undefined) {
    const redirect = parseRedirect(file.redirect)
    if ('message' in redirect) return refuse(file.redirect)
    return { kind: 'redirect', status: file.redirect_status, ...redirect }
  }
  if (file.respond !== undefined) {
    const { status, body, content_type: contentType } = file.respond
    return { kind: 'respond', status, body, contentType }
  }
  return {
    kind: 'proxy',
    upstream: toUpstream(file, context),
    balancing: toBalancing(file),
    connectTimeoutMs: toMs(file.upstream_connect_timeout_secs),
    requestTimeoutMs: toMs(file.upstream_request_timeout_secs),
    stripPrefix: file.strip_prefix,
    addPrefix: file.add_prefix ?? '',
  }
}

function toUpstream(file: Inherited, { resolvePath, upstreamCaPem }: NormaliseContext): Upstream {
  const [{ host, port } = refuse('upstream')] = toPeers(file)
  const caPem = file.upstream_ca_file && upstreamCaPem.get(resolvePath(file.upstream_ca_file))
  return { kind: 'tcp', scheme: file.upstream_scheme, host, port, caPem }
}

function toBalancing(file: Inherited): Balancing {
  const peers = toPeers(file)
  return {
    peers: peers.length > 1 ? peers : [],
    balance: parseBalance(file.balance) ?? refuse(file.balance),
    failAfter: file.fail_after,
    failWindowMs: toMs(file.fail_window_secs),
    retryMs: Math.round(file.upstream_retry_secs * 1000),
  }
}

function toPeers({ upstream = refuse('a site without an action') }: Inherited): PeerSettings[] {
  const written = typeof upstream === 'string' ? [upstream] : upstream
  return written.map((peer) => {
    const { address, weight = 1, backup = false } = typeof peer === 'string' ? { address: peer } : peer
    const parsed = parseUpstream(address)
    return 'message' in parsed ? refuse(address) : { ...parsed, weight, isBackup: backup }
  })
}

function toAccess({ allow, deny }: Inherited): AccessSettings | undefined {
  return allow.length === 0 && deny.length === 0 ? undefined : { allow, deny }
}

function toBasicAuth(file: Inherited, { resolvePath }: NormaliseContext): BasicAuthSettings | undefined {
  const { basic_auth_file: path, forward_authorization: forwardsAuthorization } = file
  return path === undefined || path === '' ? undefined : { file: resolvePath(path), forwardsAuthorization }
}

function toForwardAuth({ forward_auth: file }: Inherited): ForwardAuthSettings | undefined {
  if (file === undefined || file.url === '') return undefined
  const url = parseAuthUrl(file.url)
  if ('message' in url) return refuse(file.url)
  const copyHeaders = (file.copy_headers ?? []).map((name) => name.toLowerCase())
  return { ...url, copyHeaders, timeoutMs: toMs(file.timeout_secs ?? DEFAULT_AUTH_SECS) }
}

function toScopedRateLimit({ rate_limit: limit }: Inherited, scope: string): ScopedRateLimit | undefined {
  return limit && { ...toRateLimit(limit), scope }
}

/** Names have no case: of two spellings of one name the later counts, which is that of the inner table. */
function toHeaderChanges(table: Inherited['response_headers']): HeaderChange[] {
  const changes = new Map<string, HeaderChange>()
  for (const [name, value] of Object.entries(table ?? {})) changes.set(name.toLowerCase(), { name, value })
  return [...changes.values()]
}
