// What the admin commands answer with, beside `"status":"ok"`: JSON for programs, tables for people
// (render.ts). Times are ISO 8601 in UTC.

export interface StatusReport {
  readonly version: string
  readonly pid: number
  readonly phase: string
  /** All workers ready and no certificate expired: what /health/ready says. */
  readonly ready: boolean
  readonly started_at: string
  readonly workers: { readonly wanted: number; readonly ready: number; readonly draining: number }
  /** One more for each rolling replacement. */
  readonly generation: number
  readonly listeners: number
  readonly sites: number
  readonly certificates: {
    readonly total: number
    readonly expired: number
    /** Of the certificate that expires first; null when there is none. */
    readonly first_expiry: string | null
  }
  readonly last_reload: { readonly at: string; readonly status: 'ok' | 'error' } | null
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
}

export interface WorkersReport {
  readonly workers: readonly WorkerReport[]
  /** Deaths since the supervisor started that nobody had asked for. */
  readonly unexpected_exits: number
}

export interface CertificateReport {
  readonly listener: string
  readonly mode: 'acme' | 'manual' | 'internal'
  /** `pending`: being ordered, nothing of it is served yet. */
  readonly state: 'valid' | 'expired' | 'pending'
  readonly names: readonly string[]
  /** Wanted, but not in the certificate that is served. */
  readonly missing: readonly string[]
  readonly serial: string | null
  readonly not_after: string | null
  readonly renewal_at: string | null
  readonly failure: {
    readonly at: string
    /** The name that the CA refused, where it said which. */
    readonly name: string | null
    readonly reason: string
    readonly next_attempt_at: string
  } | null
}

export interface CertsReport {
  readonly certificates: readonly CertificateReport[]
}

/** Of `reload`, of `restart`, and in the log after SIGHUP. */
export interface ReloadReport {
  readonly sites: number
  readonly workers: 'kept' | 'replaced'
  readonly certificates: 'unchanged' | 'pending'
  readonly warnings: readonly string[]
}
