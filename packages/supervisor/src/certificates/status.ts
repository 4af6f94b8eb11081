// What can be asked of one listener's certificates while it serves: for `certs`, health and metrics.
// Times are milliseconds of the wall clock.
import type { TlsSettings } from '@reverse-proxy/shared/config/config'
import type { EventCounts } from './event-counts.ts'
import type { FailureRecord } from './failure-record.ts'
import type { RenewalWindow } from './ari.ts'
import type { CertificateFacts } from './inspect.ts'
import type { RenewalAlarm } from './renewal-watch.ts'

export type LastFailure = Pick<
  FailureRecord,
  'failedAtMs' | 'nextAttemptMs' | 'failedNames' | 'reason' | 'document'
>

/** What is served, and would not be there after a restart. */
export interface UnsavedStatus {
  readonly reason: string
  readonly nextTryMs: number
}

/** What its manager knows. */
export interface ManagerStatus {
  readonly listenerId: string
  readonly mode: TlsSettings['mode']
  /** What is served; empty while the first certificate is being ordered. */
  readonly certificates: readonly CertificateFacts[]
  /** Wanted, but in no certificate that is served. */
  readonly missing: readonly string[]
  /** When the next attempt is due; one in the past is under way. Undefined: nothing is renewed here. */
  readonly nextAttemptMs: number | undefined
  /** What the CA suggests for the renewal (RFC 9773); undefined if it suggests nothing. */
  readonly renewalWindow: RenewalWindow | undefined
  /** Of the last attempt; undefined if it succeeded. */
  readonly failure: LastFailure | undefined
  /** Of the first of `certificates`: issued, but not on disk; undefined if it is. */
  readonly unsaved: UnsavedStatus | undefined
}

export interface ListenerStatus extends ManagerStatus {
  /** Something is wrong with the renewal itself. */
  readonly alarm: RenewalAlarm | undefined
  readonly counts: EventCounts
}
