// The replies of the admin commands, beside `"status":"ok"`: JSON for programs, tables for people (render.ts). Times
// are ISO 8601 in UTC.
import type { EventCounts } from '../../certificates/event-counts.ts'
import type { IssueReport } from '../../config/report.ts'
import type { ReloadSuccess } from '../../reload.ts'
import type { RollState } from '../../workers/fleet.ts'

export interface StatusReport {
  readonly version: string
  readonly pid: number
  readonly phase: string
  /** All workers ready, every listener has a certificate, none expired: what /health/ready says. */
  readonly ready: boolean
  readonly started_at: string
  readonly workers: { readonly wanted: number; readonly ready: number; readonly draining: number }
  /** One more for each rolling replacement. */
  readonly generation: number
  /** Workers are being replaced; `waiting`: first, older ones that drain have to end. Null: none of that. */
  readonly roll: RollState | null
  readonly listeners: number
  readonly sites: number
  readonly certificates: {
    readonly total: number
    /** Listeners that have none yet, and answer challenges only. */
    readonly pending: number
    readonly expired: number
    /** Those whose renewal itself is in trouble: see CertificateReport. */
    readonly alarms: number
    /** Expiry of the certificate that expires first; null without certificates. */
    readonly first_expiry: string | null
  }
  /** Null before the first. */
  readonly last_reload: ReloadOutcomeReport | null
}

export interface ReloadOutcomeReport {
  readonly at: string
  readonly status: 'ok' | 'error'
  /** Why it failed; null if it did not. */
  readonly message: string | null
  /** Everything that is wrong with the configuration, where that is why. */
  readonly errors: readonly IssueReport[]
}

export interface WorkerReport {
  readonly worker: number
  readonly pid: number
  readonly generation: number
  readonly stage: 'booting' | 'ready' | 'draining'
  readonly started_at: string
  /** Null until its first report has come. */
  readonly connections: number | null
  readonly requests: number | null
  readonly rss_bytes: number | null
  /** How late its event loop was, the worst of a hundred turns. */
  readonly event_loop_lag_ms: number | null
}

export interface WorkersReport {
  readonly workers: readonly WorkerReport[]
  /** Deaths since the supervisor started that nobody had asked for. */
  readonly unexpected_exits: number
}

/** One for each certificate; a listener that has none yet has one nevertheless, `pending`. */
export interface CertificateReport {
  readonly listener: string
  readonly mode: 'acme' | 'manual' | 'internal'
  /** `pending`: being ordered, nothing of it is served yet. `expiring`: a sixth of its lifetime is left. */
  readonly state: 'valid' | 'expiring' | 'expired' | 'pending'
  readonly names: readonly string[]
  /** Wanted, but in no certificate that the listener serves. */
  readonly missing: readonly string[]
  readonly issuer: string | null
  readonly serial: string | null
  readonly not_before: string | null
  readonly not_after: string | null
  /** Null where somebody else renews it. One in the past is being made. */
  readonly next_attempt_at: string | null
  /** The renewal window that the CA suggests (RFC 9773). */
  readonly renewal_window: { readonly start: string; readonly end: string } | null
  readonly failure: {
    readonly at: string
    /** The names that the CA refused, where it said which. */
    readonly names: readonly string[]
    readonly reason: string
    /** The CA's problem document (RFC 7807), where it sent one. */
    readonly problem: unknown
    readonly next_attempt_at: string
  } | null
  /** Issued and served, but not on disk: why, and when saving it is tried again; null if it is. */
  readonly unsaved: { readonly reason: string; readonly next_try_at: string } | null
  /** Something is wrong with the renewal itself: nobody may be renewing this one. */
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

/** The certificates served after the renewal, by listener. */
export interface RenewReport {
  readonly renewed: readonly {
    readonly listener: string
    readonly mode: 'acme' | 'manual' | 'internal'
    readonly serials: readonly string[]
    /** Expiry of the certificate that expires first. */
    readonly not_after: string
    /** Why the new one is not on disk, where it would be after a restart; null if it is. */
    readonly unsaved: string | null
  }[]
}

/** The result of `reload` and `restart`; after SIGHUP it is in the log. */
export type ReloadReport = Omit<ReloadSuccess, 'status'>
