// The replies of the admin commands, in addition to `"status":"ok"`: JSON for programs; admin/render.ts renders them
// for people. Times are ISO 8601 in UTC.
import type { EventCounts } from '../../certificates/status.ts'
import type { WorkerConfig } from '@reverse-proxy/shared/ipc/messages'
import type { IssueReport } from '../../config/report.ts'
import type { ReloadSuccess } from '../../reload.ts'
import type { RollState } from '../../workers/fleet.ts'

export interface StatusReport {
  readonly version: string
  readonly pid: number
  readonly phase: string
  /** All workers are ready, every listener has a certificate, none has expired: the result of /health/ready. */
  readonly ready: boolean
  readonly started_at: string
  readonly workers: { readonly wanted: number; readonly ready: number; readonly draining: number }
  /** Counts up with each rolling restart. */
  readonly generation: number
  /** Workers are being replaced, or wait until fewer are draining. Null: neither. */
  readonly roll: RollState | null
  readonly listeners: number
  readonly sites: number
  readonly certificates: {
    readonly total: number
    /** Listeners without a certificate, which only respond to challenges. */
    readonly pending: number
    readonly expired: number
    /** Certificates whose renewal does not run: see CertificateReport. */
    readonly alarms: number
    /** Expiry of the certificate that expires first; null without certificates. */
    readonly first_expiry: string | null
  }
  /** Null before the first reload. */
  readonly last_reload: ReloadOutcomeReport | null
}

export interface ReloadOutcomeReport {
  readonly at: string
  readonly status: 'ok' | 'error'
  /** Reason of a failure; null after a success. */
  readonly message: string | null
  /** Every error of the configuration, if that is the reason. */
  readonly errors: readonly IssueReport[]
}

export interface WorkerReport {
  readonly worker: number
  readonly pid: number
  readonly generation: number
  readonly stage: 'booting' | 'ready' | 'draining'
  readonly started_at: string
  /** Null before its first report. */
  readonly connections: number | null
  readonly requests: number | null
  readonly rss_bytes: number | null
  /** Delay of its event loop, the longest of a hundred turns. */
  readonly event_loop_lag_ms: number | null
}

export interface WorkersReport {
  readonly workers: readonly WorkerReport[]
  /** Exits since the start of the supervisor that it did not cause. */
  readonly unexpected_exits: number
}

/** One per certificate; a listener without a certificate has one report, `pending`. */
export interface CertificateReport {
  readonly listener: string
  readonly mode: 'acme' | 'manual' | 'internal'
  /** `pending`: it is being ordered; nothing is served yet. `expiring`: at most a sixth of its lifetime is left. */
  readonly state: 'valid' | 'expiring' | 'expired' | 'pending'
  readonly names: readonly string[]
  /** Configured names that no certificate of the listener contains. */
  readonly missing: readonly string[]
  readonly issuer: string | null
  readonly serial: string | null
  readonly not_before: string | null
  readonly not_after: string | null
  /** Null if the proxy does not renew it. A time in the past: the attempt is running. */
  readonly next_attempt_at: string | null
  /** The renewal window that the CA suggests (RFC 9773). */
  readonly renewal_window: { readonly start: string; readonly end: string } | null
  readonly failure: {
    readonly at: string
    /** The names that the CA rejected, if it reported them. */
    readonly names: readonly string[]
    readonly reason: string
    /** The problem document of the CA (RFC 7807), if it sent one. */
    readonly problem: unknown
    readonly next_attempt_at: string
  } | null
  /** Issued and served but not saved: the reason, and when saving is tried again; null if it is saved. */
  readonly unsaved: { readonly reason: string; readonly next_try_at: string } | null
  /** The renewal itself has a fault: this certificate may not be renewed. */
  readonly alarm: 'dead' | 'overdue' | 'stuck' | null
  /** Events of this listener since the supervisor started. */
  readonly counts: EventCounts
  /** The certificates that each worker reports to serve on this listener. */
  readonly workers: readonly WorkerSerials[]
}

export interface WorkerSerials {
  readonly worker: number
  readonly pid: number
  readonly serials: readonly string[]
}

export interface CertsReport {
  readonly certificates: readonly CertificateReport[]
}

/** Without the keys and the files that only the supervisor has, and without the system's root certificates. */
export interface ConfigReport {
  readonly config: WorkerConfig
}

export interface BanReport {
  /** IPv4 address, or IPv6 /64. */
  readonly address: string
  readonly until: string
}

export interface BansReport {
  /** At most 10,000, sorted by their end. */
  readonly bans: readonly BanReport[]
  readonly total: number
}

/** The certificates served after the renewal, by listener. */
export interface RenewReport {
  readonly renewed: readonly {
    readonly listener: string
    readonly mode: 'acme' | 'manual' | 'internal'
    readonly serials: readonly string[]
    /** Expiry of the first certificate to expire. */
    readonly not_after: string
    /** Why the new certificate is not saved and would be lost with a restart; null if it is saved. */
    readonly unsaved: string | null
  }[]
}

/** The result of `reload` and `restart`; after SIGHUP it is in the log. */
export type ReloadReport = Omit<ReloadSuccess, 'status'>
