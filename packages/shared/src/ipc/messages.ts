// Every message between the supervisor and a worker. Neither imports the other. A switch over one of these unions ends
// in assertNever.
import type { TrafficCounts } from '../traffic-counts.ts'
import type {
  BanRule,
  ChallengeType,
  ClientAuthSettings,
  ClientSettings,
  Limits,
  Logging,
  RateLimit,
  Site,
} from '../config/config.ts'

/** A listener as workers need it: where to bind and which sites to serve. */
export interface WorkerListener {
  readonly id: string
  readonly bindAddrs: readonly string[]
  /** Redirects to HTTPS; 0: nothing does. Without TLS it serves the sites. */
  readonly httpPort: number
  /** 0: no TLS. */
  readonly httpsPort: number
  readonly clientAuth?: ClientAuthSettings | undefined
  readonly clients?: ClientSettings | undefined
  readonly sites: readonly Site[]
}

export interface WorkerConfig {
  readonly shutdownTimeoutMs: number
  readonly logging: Logging
  readonly rateLimit: RateLimit
  readonly ban?: BanRule | undefined
  readonly limits: Limits
  /** The system's root certificates as PEM; empty if no upstream uses https. */
  readonly upstreamRoots: readonly string[]
  readonly listeners: readonly WorkerListener[]
}

/** One certificate with its key. A worker keeps it in memory only. */
export interface PushedCertificate {
  /** The names of the leaf that it serves: DNS names (lower case, `*.` possible) and IP addresses. */
  readonly names: readonly string[]
  /** The leaf, then its chain. */
  readonly certPem: string
  readonly keyPem: string
  /** Serial number of the leaf, upper-case hex; identifies the certificate in reports. */
  readonly serial: string
}

export interface ListenerCertificates {
  readonly listenerId: string
  readonly certificates: readonly PushedCertificate[]
}

/** The response to the pending challenge of one name. */
export type ArmedChallenge =
  | {
      readonly type: Extract<ChallengeType, 'tls-alpn-01'>
      /** The server name that the CA sends, lower case. */
      readonly serverName: string
      readonly certPem: string
      readonly keyPem: string
    }
  | {
      readonly type: Extract<ChallengeType, 'http-01'>
      readonly token: string
      readonly keyAuthorization: string
    }

export interface ListenerChallenges {
  readonly listenerId: string
  readonly challenges: readonly ArmedChallenge[]
}

/** A listening socket that systemd passed to the supervisor. */
export interface InheritedSocket {
  /** File descriptor in the supervisor. */
  readonly fd: number
  /** The address that it is bound to, in the form of RFC 5952, as in the configuration. */
  readonly address: string
  readonly port: number
}

/** The complete initial state of a worker; sent once, after it has booted. */
export interface WorkerStart {
  readonly workerNumber: number
  /** Number of workers wanted, by which rate limits are divided until the first grant. */
  readonly workers: number
  readonly config: WorkerConfig
  readonly certificates: readonly ListenerCertificates[]
  readonly challenges: readonly ListenerChallenges[]
  readonly ticketKeys: Uint8Array
  readonly inheritedSockets: readonly InheritedSocket[]
  /** The clients that are banned now; packed as in ban-changes.ts. */
  readonly bans: Uint32Array
}

/** A change of state for a running worker, which acknowledges it with an `ack` of the same `seq`. */
export type WorkerUpdate =
  | { readonly type: 'configure'; readonly config: WorkerConfig }
  | { readonly type: 'certificates'; readonly listener: ListenerCertificates }
  | { readonly type: 'challenges'; readonly listener: ListenerChallenges }
  | { readonly type: 'ticket-keys'; readonly ticketKeys: Uint8Array }
  /** New and lifted bans; packed as in ban-changes.ts. */
  | { readonly type: 'bans'; readonly changes: Uint32Array }
  | { readonly type: 'reopen-logs' }

export type SupervisorToWorker =
  | { readonly type: 'start'; readonly start: WorkerStart }
  | { readonly type: 'update'; readonly seq: number; readonly update: WorkerUpdate }
  /** Stop accepting, finish the requests in flight within `timeoutMs`, exit 0. Repeated to shorten the time. */
  | { readonly type: 'drain'; readonly timeoutMs: number }
  | LeaseGrant
  | PasswordAnswer

export const HEARTBEAT_INTERVAL_MS = 2_000

export type WorkerToSupervisor =
  /** Loaded; waits for `start`. */
  | { readonly type: 'booted' }
  /** Has bound every port of its configuration. */
  | { readonly type: 'ready' }
  /** Cannot start; exits with EXIT_WORKER_BOOT after this. */
  | { readonly type: 'boot-failed'; readonly failure: BootFailure }
  | { readonly type: 'ack'; readonly seq: number; readonly error: string | undefined }
  /** Sent every HEARTBEAT_INTERVAL_MS; shows that its event loop turns. */
  | { readonly type: 'heartbeat'; readonly load: WorkerLoad; readonly counts: TrafficCounts }
  /** Drains: accepts no more connections and finishes the requests in flight. */
  | { readonly type: 'stopped-accepting' }
  /** The certificates that it serves; sent before `ready`, and before the `ack` of every update that changes them. */
  | { readonly type: 'certificates-served'; readonly listeners: readonly ServedSerials[] }
  | LeaseRequest
  | PasswordCheck
  | OffenceReport

export interface WorkerLoad {
  /** Open connections. */
  readonly connections: number
  /** Completed requests since it started. */
  readonly requests: number
  readonly rssBytes: number
  /** Delay of the event loop since the last heartbeat (99th percentile). */
  readonly eventLoopLagMs: number
}

/** The certificates that a listener of a worker serves from the next handshake on. */
export interface ServedSerials {
  readonly listenerId: string
  /** Serial numbers of the leaves as the worker parsed them, upper-case hex. */
  readonly serials: readonly string[]
}

export type BootFailure =
  | {
      readonly reason: 'bind'
      readonly address: string
      readonly port: number
      /** `EADDRINUSE`, `EACCES`, `EADDRNOTAVAIL`, ... */
      readonly code: string
    }
  | { readonly reason: 'internal'; readonly message: string }

/**
 * From a worker to the authority over rate limits, which replies to each with one LeaseGrant, in order, and handles the
 * fields in their order. Keys are made by bucketKey.
 */
export interface LeaseRequest {
  readonly type: 'lease-request'
  readonly seq: number
  /** Leased tokens that were spent or returned since the last report. */
  readonly reports: readonly LeaseReport[]
  /** Requests admitted without a lease while the authority did not reply. */
  readonly charges: readonly { readonly key: string; readonly count: number }[]
  readonly asks: readonly LeaseAsk[]
}

/** Responses that a rule for bans counts, since the last report. Keys are made by bucketKey. */
export interface OffenceReport {
  readonly type: 'offences'
  readonly offences: readonly { readonly key: string; readonly count: number }[]
}

export interface LeaseReport {
  readonly key: string
  readonly spent: number
  /** Tokens that this worker no longer spends. */
  readonly returned: number
}

/** Also ends the worker's previous lease of this key: tokens that it did not return are spent. */
export interface LeaseAsk {
  readonly key: string
  /** Number of requests that wait for the grant. */
  readonly needed: number
  /** Tokens beyond `needed` that the client is likely to spend soon. */
  readonly ahead: number
}

export interface LeaseGrant {
  readonly type: 'lease-grant'
  readonly seq: number
  /** Number of workers, by which limits are divided if the authority does not reply. */
  readonly workers: number
  /** One per ask, in the same order. */
  readonly grants: readonly LeasedTokens[]
}

export interface LeasedTokens {
  readonly key: string
  /** May be spent until RATE_LEASE_MS after the request was sent, by the worker's clock. */
  readonly tokens: number
  /** Time until the next token; 0 if all needed tokens are granted. */
  readonly waitMs: number
  /** Time before which another ask is useless; less than `waitMs` if another worker may return a token. */
  readonly recheckMs: number
}

/** A worker asks whether a password is right; gets one PasswordAnswer with the same `seq`, in any order. */
export interface PasswordCheck extends PasswordQuestion {
  readonly type: 'password-check'
  readonly seq: number
}

export interface PasswordQuestion {
  /** A `basic_auth_file` of the configuration. */
  readonly file: string
  /** As limits count it: failures are limited for each. */
  readonly client: string
  readonly user: string
  readonly password: string
}

export interface PasswordAnswer {
  readonly type: 'password-answer'
  readonly seq: number
  readonly verdict: PasswordVerdict
}

export type PasswordVerdict =
  | { readonly kind: 'accepted' }
  | { readonly kind: 'denied' }
  /** Not compared: the client has been wrong too often, or too many wait. */
  | { readonly kind: 'busy'; readonly retryAfterSecs: number }
