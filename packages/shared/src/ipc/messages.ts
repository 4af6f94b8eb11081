// Everything the supervisor and a worker can say to each other. Neither imports the other;
// a switch over one of these unions ends in assertNever.
import type { TrafficCounts } from '../traffic-counts.ts'
import type { ChallengeType, Limits, Logging, RateLimit, Site } from '../config/config.ts'

/** A listener as workers know it: where to bind, which sites to serve. */
export interface WorkerListener {
  readonly id: string
  readonly bindAddrs: readonly string[]
  readonly httpPort: number
  readonly httpsPort: number
  readonly sites: readonly Site[]
}

export interface WorkerConfig {
  readonly shutdownTimeoutMs: number
  readonly logging: Logging
  readonly rateLimit: RateLimit
  readonly limits: Limits
  /** The system's root certificates as PEM; empty if no upstream uses https. */
  readonly upstreamRoots: readonly string[]
  readonly listeners: readonly WorkerListener[]
}

/** One certificate as a worker holds it: in memory only. */
export interface PushedCertificate {
  /** Names of the leaf's subjectAltName that it serves: DNS names (lower case, `*.` possible) and IP addresses. */
  readonly names: readonly string[]
  /** Leaf first, then its chain. */
  readonly certPem: string
  readonly keyPem: string
  /** Serial number of the leaf, upper-case hex: tells which certificate a worker serves. */
  readonly serial: string
}

export interface ListenerCertificates {
  readonly listenerId: string
  readonly certificates: readonly PushedCertificate[]
}

/** One name being proved to the CA right now. */
export type ArmedChallenge =
  | {
      readonly type: Extract<ChallengeType, 'tls-alpn-01'>
      /** The SNI the CA will send, lower case. */
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

/** A listening socket that the supervisor was started with, by systemd: bound already, to this address. */
export interface InheritedSocket {
  /** Descriptor of the supervisor. */
  readonly fd: number
  /** RFC 5952; as configured addresses are written. */
  readonly address: string
  readonly port: number
}

/** The whole state of a worker; sent once, when it has booted. */
export interface WorkerStart {
  readonly workerNumber: number
  /** How many workers there are to be: each one's share of a rate limit before it has asked for more. */
  readonly workers: number
  readonly config: WorkerConfig
  readonly certificates: readonly ListenerCertificates[]
  readonly challenges: readonly ListenerChallenges[]
  readonly ticketKeys: Uint8Array
  readonly inheritedSockets: readonly InheritedSocket[]
}

/** Sent to a running worker, which confirms each with an `ack` of the same `seq`. */
export type Push =
  | { readonly type: 'configure'; readonly config: WorkerConfig }
  | { readonly type: 'certificates'; readonly listener: ListenerCertificates }
  | { readonly type: 'challenges'; readonly listener: ListenerChallenges }
  | { readonly type: 'ticket-keys'; readonly ticketKeys: Uint8Array }
  | { readonly type: 'reopen-logs' }

export type SupervisorToWorker =
  | { readonly type: 'start'; readonly start: WorkerStart }
  | { readonly type: 'push'; readonly seq: number; readonly push: Push }
  /** Stop accepting, finish what is in flight until `timeoutMs` from now, exit 0. A second one can only hurry. */
  | { readonly type: 'drain'; readonly timeoutMs: number }
  | LeaseGrant

export const HEARTBEAT_INTERVAL_MS = 2_000

export type WorkerToSupervisor =
  /** Loaded and listening to the supervisor: wants its `start`. */
  | { readonly type: 'booted' }
  /** Bound to every port of its configuration. */
  | { readonly type: 'ready' }
  /** Cannot start; exits with EXIT_WORKER_BOOT after this. */
  | { readonly type: 'boot-failed'; readonly failure: BootFailure }
  | { readonly type: 'ack'; readonly seq: number; readonly error: string | undefined }
  /** Sent every HEARTBEAT_INTERVAL_MS; shows that its event loop turns. */
  | { readonly type: 'heartbeat'; readonly load: WorkerLoad; readonly counts: TrafficCounts }
  /** Drains, and takes no more connections; what is in flight goes on. */
  | { readonly type: 'stopped-accepting' }
  /** Before `ready`, and before the `ack` of every push that changes it. */
  | { readonly type: 'certificates-served'; readonly listeners: readonly ServedSerials[] }
  | LeaseRequest

export interface WorkerLoad {
  /** Open now. */
  readonly connections: number
  /** Answered since it started. */
  readonly requests: number
  readonly rssBytes: number
  /** How late the event loop was since the last heartbeat: the worst of a hundred turns. */
  readonly eventLoopLagMs: number
}

/** The certificates that one listener of a worker serves from the next handshake on. */
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
 * A worker's word to whoever keeps the rate limits; each gets one LeaseGrant, after all messages
 * before it have been dealt with. Read in the order of its fields. Keys are bucketKey()'s.
 */
export interface LeaseRequest {
  readonly type: 'lease-request'
  readonly seq: number
  /** Leased tokens that were spent or returned since the last report. */
  readonly reports: readonly LeaseReport[]
  /** Admitted while the authority was silent, out of no lease. */
  readonly charges: readonly { readonly key: string; readonly count: number }[]
  readonly asks: readonly LeaseAsk[]
}

export interface LeaseReport {
  readonly key: string
  readonly spent: number
  /** Never to be spent by this worker any more. */
  readonly returned: number
}

/** Also says that nothing is left of an earlier lease under this key: what has not been returned is spent. */
export interface LeaseAsk {
  readonly key: string
  /** Requests that wait for the answer. */
  readonly needed: number
  /** Tokens beyond `needed` that the client is likely to spend soon. */
  readonly ahead: number
}

export interface LeaseGrant {
  readonly type: 'lease-grant'
  readonly seq: number
  /** How many workers there are: each one's share, should the authority fall silent. */
  readonly workers: number
  /** One for each ask, in their order. */
  readonly grants: readonly LeasedTokens[]
}

export interface LeasedTokens {
  readonly key: string
  /** Spendable until RATE_LEASE_MS after the request was sent, by the worker's own clock. */
  readonly tokens: number
  /** Fewer tokens than needed: the next one comes after this time. 0: there are as many as needed. */
  readonly waitMs: number
  /** Asking again before this time is useless; less than `waitMs` if somebody may return a token. */
  readonly recheckMs: number
}
