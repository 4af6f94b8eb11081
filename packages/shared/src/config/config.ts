// The configuration as the program uses it: defaults filled in, seconds turned into milliseconds,
// names lower-cased. The file's own shape is schema.ts; supervisor/config/load.ts turns one into the other.
import type { Balancing } from './balancing.ts'

export interface RateLimit {
  readonly requestsPerSecond: number
  readonly burst: number
}

export interface Limits {
  readonly tlsHandshakeTimeoutMs: number
  readonly requestHeaderTimeoutMs: number
  readonly headerBytes: number
  readonly headerCount: number
  readonly keepAliveTimeoutMs: number
  readonly bodyStallTimeoutMs: number
  readonly connectionsPerWorker: number
  readonly connectionsPerClient: number
  readonly requestsPerConnection: number
  readonly http2Streams: number
  readonly upgradeIdleTimeoutMs: number
  /** Limit on requests of one site that wait for a response head. */
  readonly upstreamConnectionsPerSite: number
  /** Limit on connections to the upstream of one site, tunnels included; left out: none. */
  readonly upstreamMaxConnections?: number
  /** Limit on connections to all upstreams together, from the open-file limit; left out: none. */
  readonly upstreamConnectionsPerWorker?: number
}

/** When a healthy worker is replaced. */
export interface RecycleLimits {
  /** Undefined: no limit on its memory. */
  readonly maxRssBytes: number | undefined
  /** Undefined: no limit on its age. */
  readonly maxAgeMs: number | undefined
}

export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error'
export type LogFormat = 'text' | 'json'

export interface Logging {
  readonly level: LogLevel
  readonly format: LogFormat
  /** Written in addition to stdout. Absolute. */
  readonly filePath: string | undefined
}

/** `welcome` is the upstream built into every worker; only the local profile uses it. */
export type Upstream =
  | { readonly kind: 'welcome' }
  | {
      readonly kind: 'tcp'
      readonly scheme: 'http' | 'https'
      /** Name or address, IPv6 without brackets. */
      readonly host: string
      readonly port: number
      /** PEM of one more root to trust, already read (workers read no files). */
      readonly caPem: string | undefined
    }

/** The request goes to an upstream. */
export interface ProxyAction {
  readonly kind: 'proxy'
  /** With several peers, the first of them. */
  readonly upstream: Upstream
  /** Left out: the upstream is its only peer, and a request that does not reach it fails at once. */
  readonly balancing?: Balancing
  readonly connectTimeoutMs: number
  readonly requestTimeoutMs: number
  /** Removes the path of the route from the path that goes upstream. */
  readonly stripPrefix: boolean
  /** Added in front of the path that goes upstream, after stripping; '' or a path without a slash at its end. */
  readonly addPrefix: string
}

export interface RedirectAction {
  readonly kind: 'redirect'
  readonly status: number
  /** An absolute URL or a path, without the `*` at its end. */
  readonly target: string
  /** The part of the request that is appended to `target`: path and query, the rest behind the route, or nothing. */
  readonly keeps: 'path' | 'rest' | 'nothing'
}

/** A fixed response. */
export interface RespondAction {
  readonly kind: 'respond'
  readonly status: number
  readonly body: string
  readonly contentType: string
}

/** The action for a request that passes all stages. Another kind is a member here, and a handler in the worker. */
export type Action = ProxyAction | RedirectAction | RespondAction

/** A header field that is set, with placeholders in its value. */
export interface HeaderChange {
  readonly name: string
  /** '': the field is removed. */
  readonly value: string
}

/** A rate limit with its own buckets: one for each client and scope. */
export interface ScopedRateLimit extends RateLimit {
  /** Stays the same in a reload, so that buckets are kept. */
  readonly scope: string
}

/** When a client is banned: refused by the whole proxy for a time. */
export interface BanRule {
  /** Offences within `withinMs` that lead to the ban. */
  readonly after: number
  readonly withinMs: number
  readonly forMs: number
  /** Statuses of responses that are offences. Empty: none. */
  readonly statuses: readonly number[]
  /** Offences are counted for each scope. '': the general rule. */
  readonly scope: string
}

/** Addresses that may use a site or route, and addresses that may not. */
export interface AccessSettings {
  /** Networks, or `private`. Empty: every address that is not denied. */
  readonly allow: readonly string[]
  readonly deny: readonly string[]
}

/** Basic authentication (RFC 7617). */
export interface BasicAuthSettings {
  /** Absolute path of the file with users and hashes; workers only know its name. */
  readonly file: string
  /** The upstream gets the Authorization field as well. */
  readonly forwardsAuthorization: boolean
}

/** A service that is asked whether a request may go on. */
export interface ForwardAuthSettings {
  readonly scheme: 'http' | 'https'
  /** Name or address, IPv6 without brackets. */
  readonly host: string
  readonly port: number
  /** As the URL has it, with the port if that is not the scheme's. */
  readonly authority: string
  /** Path and query. */
  readonly path: string
  /** Fields of its answer that are set on the request; lower case. */
  readonly copyHeaders: readonly string[]
  /** For the whole answer. */
  readonly timeoutMs: number
}

/** The settings of a site or route after inheritance: `[defaults]`, then site, then route. */
export interface RouteSettings {
  readonly action: Action
  readonly bodyLimitBytes: number
  /** Unset: the client's general bucket is used. */
  readonly rateLimit: ScopedRateLimit | undefined
  /** Unset: the general rule of the configuration applies. */
  readonly ban?: BanRule | undefined
  /** Unset: every address may use it. */
  readonly access?: AccessSettings | undefined
  /** Unset: no password is asked for. */
  readonly basicAuth?: BasicAuthSettings | undefined
  /** Unset: no service is asked. */
  readonly forwardAuth?: ForwardAuthSettings | undefined
  /** Changes to the request that goes upstream. No name occurs twice. */
  readonly requestHeaders: readonly HeaderChange[]
  /** Changes to every response. No name occurs twice. */
  readonly responseHeaders: readonly HeaderChange[]
}

export interface FieldCondition {
  readonly name: string
  /** Undefined: any value; the field or parameter must be present. */
  readonly value: string | undefined
}

/** The requests of a site that a route matches. */
export interface RouteMatch {
  /** In normal form, a character for each byte. `/api/`: that subtree and `/api`; `/api`: that path alone. */
  readonly path: string
  /** Empty: all. */
  readonly methods: readonly string[]
  /** Names in lower case. */
  readonly headers: readonly FieldCondition[]
  readonly query: readonly FieldCondition[]
}

export interface Route extends RouteSettings {
  readonly match: RouteMatch
}

export interface Site extends RouteSettings {
  /** Lower case; exact, or `*.example.com`. Never empty; the first is the name of the site in metrics. */
  readonly hosts: readonly string[]
  readonly routes: readonly Route[]
}

export type ChallengeType = 'tls-alpn-01' | 'http-01'
export type KeyType = 'ecdsa-p256' | 'ecdsa-p384' | 'rsa-2048' | 'rsa-4096'

export interface AcmeSettings {
  readonly mode: 'acme'
  /** Lower case, in the file's order, never empty. */
  readonly domains: readonly string[]
  readonly cacheDir: string
  readonly directoryUrl: string
  readonly contact: string
  readonly challenge: ChallengeType
  readonly caFile: string | undefined
  readonly eab: { readonly kid: string; readonly hmacFile: string } | undefined
  readonly keyType: KeyType
  readonly profile: string | undefined
  readonly preferredChain: string | undefined
}

export interface ManualSettings {
  readonly mode: 'manual'
  readonly pairs: readonly { readonly certPath: string; readonly keyPath: string }[]
}

export interface InternalSettings {
  readonly mode: 'internal'
}

/** Plain HTTP. */
export interface NoTlsSettings {
  readonly mode: 'off'
}

export type CertificateSettings = AcmeSettings | ManualSettings | InternalSettings
export type TlsSettings = CertificateSettings | NoTlsSettings

/** Certificates that clients show (RFC 8446 4.3.2). */
export interface ClientAuthSettings {
  /** `require`: without one there is no connection. `request`: one that is shown has to be valid. */
  readonly mode: 'require' | 'request'
  /** PEM of the roots that issue them, already read (workers read no files). */
  readonly caPem: string
}

/** How a listener determines the client of a connection or a request. */
export interface ClientSettings {
  /** Networks, or `private`, of proxies whose statement of the client is trusted. */
  readonly trustedProxies: readonly string[]
  /** Lower case; unset: X-Forwarded-For. */
  readonly clientIpHeader: string | undefined
  /** Every connection begins with a header of the PROXY protocol. */
  readonly proxyProtocol: boolean
}

export interface Listener {
  /** Stable over reloads while its sockets stay the same: `127.0.0.1:443`, `127.0.0.1,::1:443`. */
  readonly id: string
  readonly bindAddrs: readonly string[]
  /** Redirects to HTTPS; 0: nothing does. Without TLS it serves the sites. */
  readonly httpPort: number
  /** 0: no TLS. */
  readonly httpsPort: number
  readonly tls: TlsSettings
  /** Unset: clients are not asked for certificates. */
  readonly clientAuth?: ClientAuthSettings | undefined
  /** Unset: every client is the peer of its connection. */
  readonly clients?: ClientSettings | undefined
  readonly sites: readonly Site[]
}

/** A listener that has certificates. */
export type TlsListener = Listener & { readonly tls: CertificateSettings }

export interface Config {
  readonly workers: number | 'auto'
  readonly user: string | undefined
  readonly group: string | undefined
  readonly stateDir: string
  readonly allowWildcardBind: boolean
  /** 0: disabled. */
  readonly healthCheckPort: number
  /** '': disabled. */
  readonly adminSocketPath: string
  readonly shutdownTimeoutMs: number
  readonly recycle: RecycleLimits
  readonly logging: Logging
  readonly rateLimit: RateLimit
  /** Unset: only the rules of sites ban clients. */
  readonly ban?: BanRule | undefined
  readonly limits: Limits
  readonly listeners: readonly Listener[]
  /** Contents of every `basic_auth_file` by absolute path. Never sent to workers. */
  readonly passwordFiles: ReadonlyMap<string, string>
}
