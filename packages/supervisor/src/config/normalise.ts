// Converts a valid file to the configuration that the program uses: seconds to milliseconds, relative paths to absolute
// ones, names to their normal form, and defaults that depend on the user and the environment.
import { assertNever } from '@reverse-proxy/shared/assert-never'
import type {
  AcmeSettings,
  ClientAuthSettings,
  ClientSettings,
  Config,
  Limits,
  Listener,
  TlsSettings,
} from '@reverse-proxy/shared/config/config'
import type { ConfigFile, ListenerFile, TlsFile } from '@reverse-proxy/shared/config/schema'
import { parseIpAddress } from '@reverse-proxy/shared/ip-address'
import { GENERAL_SCOPE } from '@reverse-proxy/shared/rate-limit/rate-limits'
import { defaultAdminSocketPath, defaultStateDir } from './environment.ts'
import { optionalPath, refuse, toBanRule, toMs, toRateLimit, type NormaliseContext } from './normal-values.ts'
import { toSite } from './normalise-sites.ts'

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
    ...(file.ban && { ban: toBanRule(file.ban, GENERAL_SCOPE) }),
    limits: toLimits(file.limits),
    listeners: file.listeners.map((listener) => toListener(listener, file, context)),
    passwordFiles: context.passwordFiles,
  }
}

function adminSocketPath(written: string | undefined, stateDir: string, context: NormaliseContext): string {
  if (written === undefined) return defaultAdminSocketPath(context.environment, stateDir)
  return written === '' ? '' : context.resolvePath(written)
}

function toListener(file: ListenerFile, whole: ConfigFile, context: NormaliseContext): Listener {
  const written = typeof file.bind_addr === 'string' ? [file.bind_addr] : file.bind_addr
  const bindAddrs = written.map((address) => parseIpAddress(address)?.text ?? refuse(address))
  const isPlain = file.tls.mode === 'off'
  return {
    // Sorted: the order of the addresses in the file does not matter.
    id: `${bindAddrs.toSorted().join(',')}:${isPlain ? file.http_port : file.https_port}`,
    bindAddrs,
    httpPort: file.http_port,
    httpsPort: isPlain ? 0 : file.https_port,
    tls: toTls(file.tls, context),
    clientAuth: toClientAuth(file, context),
    clients: toClients(file),
    sites: file.sites.map((site) => toSite(site, whole, context)),
  }
}

function toClientAuth(
  { client_ca_file: path, client_auth: mode = 'require' }: ListenerFile,
  { resolvePath, clientCaPem }: NormaliseContext,
): ClientAuthSettings | undefined {
  if (path === undefined) return undefined
  return { mode, caPem: clientCaPem.get(resolvePath(path)) ?? refuse(path) }
}

function toClients(file: ListenerFile): ClientSettings | undefined {
  if (file.trusted_proxies.length === 0) return undefined
  return {
    trustedProxies: file.trusted_proxies,
    clientIpHeader: file.client_ip_header?.toLowerCase(),
    proxyProtocol: file.proxy_protocol,
  }
}

function toTls(file: TlsFile, context: NormaliseContext): TlsSettings {
  switch (file.mode) {
    case 'acme':
      return toAcme(file, context)
    case 'manual':
      return { mode: 'manual', pairs: [...pairsOf(file, context)] }
    case 'internal':
      return { mode: 'internal' }
    case 'off':
      return { mode: 'off' }
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
