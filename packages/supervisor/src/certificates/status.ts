// The status of one listener's certificates, for `certs`, health and metrics. Times are wall-clock milliseconds.
import type { CertificateSettings } from '@reverse-proxy/shared/config/config'
import type { RenewalWindow } from './certificate.ts'
import type { CertificateFacts } from './crypto/inspect.ts'

export interface LastFailure {
  readonly failedAtMs: number
  readonly nextAttemptMs: number
  readonly failedNames: readonly string[]
  readonly reason: string
  /** The CA's problem document, JSON text. */
  readonly document: string | undefined
}

/** dead: the loop has ended. overdue: it should have woken up. stuck: one turn takes far too long. */
export type RenewalAlarm = 'dead' | 'overdue' | 'stuck'

/** A served certificate that could not be saved and would be lost by a restart. */
export interface UnsavedStatus {
  readonly reason: string
  readonly nextTryMs: number
}

/** The status that a manager reports. */
export interface ManagerStatus {
  readonly listenerId: string
  readonly mode: CertificateSettings['mode']
  /** The served certificates; empty while the first one is being ordered. */
  readonly certificates: readonly CertificateFacts[]
  /** Wanted, but in no certificate that is served. */
  readonly missing: readonly string[]
  /** When the next attempt is due; one in the past is under way. Undefined: nothing is renewed here. */
  readonly nextAttemptMs: number | undefined
  /** The renewal window of the CA (RFC 9773); undefined without one. */
  readonly renewalWindow: RenewalWindow | undefined
  /** Failure of the last attempt; undefined if it succeeded. */
  readonly failure: LastFailure | undefined
  /** Set if the first of `certificates` was issued but could not be saved. */
  readonly unsaved: UnsavedStatus | undefined
}

export interface ListenerStatus extends ManagerStatus {
  /** Something is wrong with the renewal itself. */
  readonly alarm: RenewalAlarm | undefined
  readonly counts: EventCounts
}

/** Since the supervisor started. */
export interface EventCounts {
  readonly ordered: number
  readonly issued: number
  /** Attempts that failed. */
  readonly failed: number
  readonly expiring: number
  readonly expired: number
}

const NONE: EventCounts = { ordered: 0, issued: 0, failed: 0, expiring: 0, expired: 0 }

export class CertificateCounts {
  readonly #counts = new Map<string, EventCounts>()

  countsOf(listenerId: string): EventCounts {
    return this.#counts.get(listenerId) ?? NONE
  }

  add(listenerId: string, counter: keyof EventCounts): void {
    const counts = this.countsOf(listenerId)
    this.#counts.set(listenerId, { ...counts, [counter]: counts[counter] + 1 })
  }
}
