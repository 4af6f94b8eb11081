// Converts a valid file to the configuration that the program uses: seconds to milliseconds, relative paths to absolute
// ones, names to their normal form, and defaults that depend on the user and the environment.
import { assertNever } from '@reverse-proxy/shared/assert-never'
import { parseBalance, type Balancing, type PeerSettings } from '@reverse-proxy/shared/config/balancing'
import type {
  AccessSettings,
  AcmeSettings,
  BasicAuthSettings,
  ClientSettings,
  Config,
  Limits,
  Listener,
  RateLimit,
  Site,
  TlsSettings,
  Upstream,
} from '@reverse-proxy/shared/config/config'
import type { ConfigFile, ListenerFile, SiteFile, TlsFile } from '@reverse-proxy/shared/config/schema'
import { siteNameOf } from '@reverse-proxy/shared/config/sites'
import { parseUpstream } from '@reverse-proxy/shared/config/upstream'
import { ProxyError } from '@reverse-proxy/shared/errors'
import { parseIpAddress } from '@reverse-proxy/shared/ip-address'
import { defaultAdminSocketPath, defaultStateDir, type Environment } from './environment.ts'

export interface NormaliseContext {
  readonly environment: Environment
  readonly allowWildcardBindFlag: boolean
  readonly resolvePath: (path: string) => string
  /** Contents by absolute path. */
  readonly upstreamCaPem: ReadonlyMap<string, string>
  /** Contents by absolute path. */
  readonly passwordFiles: ReadonlyMap<string, string>
}

const DIRECTORIES: Readonly<Record<string, string>> = {
  production: 'https://acme-v02.api.letsencrypt.org/directory',
  staging: 'https://acme-staging-v02.api.letsencrypt.org/directory',
}

/** `file` has passed the schema and the rules. Throws CONFIG for a value that they should have rejected. */
export function toConfig(file: ConfigFile, context: NormaliseContext): Config {
  const { environment, resolvePath } = context
  const stateDir = file.state_dir === undefined ? defaultStateDir(environment) : resolvePath(file.state_dir)
  return {
    workers: file.workers,
    user: file.user,
    group: file.group,
    stateDir,
    allowWildcardBind: file.allow_wildcard_bind || context.allowWildcardBindFlag,
    healthCheckPort: file.health_check_port,
    adminSocketPath: adminSocketPath(file.admin_socket_path, stateDir, context),
    shutdownTimeoutMs: toMs(file.shutdown_timeout_secs),
    recycle: {
      maxRssBytes: file.limits.worker_max_rss_bytes,
      maxAgeMs: file.limits.worker_max_age_secs && toMs(file.limits.worker_max_age_secs),
    },
    logging: {
      level: file.logging.level,
      format: file.logging.format,
      filePath: optionalPath(file.logging.log_file_path, context),
    },
    rateLimit: toRateLimit(file.rate_limit),
    limits: toLimits(file.limits),
    listeners: file.listeners.map((listener) => toListener(listener, file.body.limit_bytes, context)),
    passwordFiles: context.passwordFiles,
  }
}

function adminSocketPath(written: string | undefined, stateDir: string, context: NormaliseContext): string {
  if (written === undefined) return defaultAdminSocketPath(context.environment, stateDir)
  return written === '' ? '' : context.resolvePath(written)
}

function toListener(file: ListenerFile, bodyLimitBytes: number, context: NormaliseContext): Listener {
  const written = typeof file.bind_addr === 'string' ? [file.bind_addr] : file.bind_addr
  const bindAddrs = written.map((address) => parseIpAddress(address)?.text ?? refuse(address))
  return {
    // Sorted: the order of the addresses in the file does not matter.
    id: `${bindAddrs.toSorted().join(',')}:${file.https_port}`,
    bindAddrs,
    httpPort: file.http_port,
    httpsPort: file.https_port,
    tls: toTls(file.tls, context),
    clients: toClients(file),
    sites: file.sites.map((site) => toSite(site, bodyLimitBytes, context)),
  }
}

function toSite(file: SiteFile, bodyLimitBytes: number, context: NormaliseContext): Site {
  const hosts = (typeof file.host === 'string' ? [file.host] : file.host).map((host) => host.toLowerCase())
  return {
    hosts,
    action: {
      kind: 'proxy',
      upstream: toUpstream(file, context),
      balancing: toBalancing(file),
      connectTimeoutMs: toMs(file.upstream_connect_timeout_secs),
      requestTimeoutMs: toMs(file.upstream_request_timeout_secs),
    },
    bodyLimitBytes: file.body?.limit_bytes ?? bodyLimitBytes,
    rateLimit: file.rate_limit && { ...toRateLimit(file.rate_limit), scope: siteNameOf({ hosts }) },
    access: toAccess(file),
    basicAuth: toBasicAuth(file, context),
  }
}

function toBalancing(file: SiteFile): Balancing {
  const peers = toPeers(file)
  return {
    peers: peers.length > 1 ? peers : [],
    balance: parseBalance(file.balance) ?? refuse(file.balance),
    failAfter: file.fail_after,
    failWindowMs: toMs(file.fail_window_secs),
    retryMs: Math.round(file.upstream_retry_secs * 1000),
  }
}

function toPeers({ upstream }: SiteFile): PeerSettings[] {
  const written = typeof upstream === 'string' ? [upstream] : upstream
  return written.map((peer) => {
    const { address, weight = 1, backup = false } = typeof peer === 'string' ? { address: peer } : peer
    const parsed = parseUpstream(address)
    return 'message' in parsed ? refuse(address) : { ...parsed, weight, isBackup: backup }
  })
}

function toClients(file: ListenerFile): ClientSettings | undefined {
  if (file.trusted_proxies.length === 0) return undefined
  return {
    trustedProxies: file.trusted_proxies,
    clientIpHeader: file.client_ip_header?.toLowerCase(),
    proxyProtocol: file.proxy_protocol,
  }
}

function toAccess({ allow, deny }: SiteFile): AccessSettings | undefined {
  return allow.length === 0 && deny.length === 0 ? undefined : { allow, deny }
}

function toBasicAuth(file: SiteFile, { resolvePath }: NormaliseContext): BasicAuthSettings | undefined {
  const { basic_auth_file: path, forward_authorization: forwardsAuthorization } = file
  return path === undefined ? undefined : { file: resolvePath(path), forwardsAuthorization }
}

function toUpstream(file: SiteFile, { resolvePath, upstreamCaPem }: NormaliseContext): Upstream {
  const [{ host, port } = refuse('upstream')] = toPeers(file)
  const caPem = file.upstream_ca_file && upstreamCaPem.get(resolvePath(file.upstream_ca_file))
  return { kind: 'tcp', scheme: file.upstream_scheme, host, port, caPem }
}

function toTls(file: TlsFile, context: NormaliseContext): TlsSettings {
  switch (file.mode) {
    case 'acme':
      return toAcme(file, context)
    case 'manual':
      return { mode: 'manual', pairs: [...pairsOf(file, context)] }
    case 'internal':
      return { mode: 'internal' }
    default:
      return assertNever(file.mode)
  }
}

function toAcme(file: TlsFile, context: NormaliseContext): AcmeSettings {
  const { acme_eab_kid: kid, acme_eab_hmac_file: hmacFile } = file
  const domains = (file.acme_domains ?? []).map((name) => name.toLowerCase())
  return {
    mode: 'acme',
    domains: [...new Set(domains)],
    cacheDir: context.resolvePath(file.acme_cache_dir ?? refuse('acme_cache_dir')),
    directoryUrl: DIRECTORIES[file.acme_directory] ?? file.acme_directory,
    contact: file.acme_contact ?? refuse('acme_contact'),
    challenge: file.acme_challenge,
    caFile: optionalPath(file.acme_ca_file, context),
    eab:
      kid !== undefined && hmacFile !== undefined
        ? { kid, hmacFile: context.resolvePath(hmacFile) }
        : undefined,
    keyType: file.acme_key_type,
    profile: file.acme_profile,
    preferredChain: file.acme_preferred_chain,
  }
}

function* pairsOf(file: TlsFile, { resolvePath }: NormaliseContext) {
  const { cert_path, key_path } = file
  const single = cert_path !== undefined && key_path !== undefined ? [{ cert_path, key_path }] : []
  for (const pair of [...single, ...(file.certificates ?? [])]) {
    yield { certPath: resolvePath(pair.cert_path), keyPath: resolvePath(pair.key_path) }
  }
}

function toLimits(file: ConfigFile['limits']): Limits {
  return {
    tlsHandshakeTimeoutMs: toMs(file.tls_handshake_timeout_secs),
    requestHeaderTimeoutMs: toMs(file.request_header_timeout_secs),
    headerBytes: file.header_bytes,
    headerCount: file.header_count,
    keepAliveTimeoutMs: toMs(file.keep_alive_timeout_secs),
    bodyStallTimeoutMs: toMs(file.body_stall_timeout_secs),
    connectionsPerWorker: file.connections_per_worker,
    connectionsPerClient: file.connections_per_client,
    requestsPerConnection: file.requests_per_connection,
    http2Streams: file.http2_streams,
    upgradeIdleTimeoutMs: toMs(file.upgrade_idle_timeout_secs),
    upstreamConnectionsPerSite: file.upstream_connections_per_site,
    ...(file.upstream_max_connections !== undefined && {
      upstreamMaxConnections: file.upstream_max_connections,
    }),
  }
}

function toRateLimit(file: ConfigFile['rate_limit']): RateLimit {
  return { requestsPerSecond: file.requests_per_second, burst: file.burst }
}

/** At least one millisecond: in some places 0 means no timer. */
function toMs(seconds: number): number {
  return Math.max(1, Math.round(seconds * 1000))
}

function optionalPath(path: string | undefined, { resolvePath }: NormaliseContext): string | undefined {
  return path === undefined ? undefined : resolvePath(path)
}

function refuse(value: string): never {
  throw new ProxyError('CONFIG', `${value} passed the checks of the configuration and should not have`)
}
