// Services that the supervisor offers to certificate managers: ways to reach every worker, a log, a clock, and the
// pool that makes keys.
import type { ArmedChallenge, PushedCertificate } from '@reverse-proxy/shared/ipc/messages'
import type { Log } from '@reverse-proxy/shared/log-fields'
import type { CertificateCounts } from './status.ts'
import type { CertificateJobs } from './crypto/jobs.ts'
import type { WaitableClock } from '../os/waitable-clock.ts'

export interface CertificateServices {
  readonly log: Log
  readonly counts: Pick<CertificateCounts, 'add'>
  readonly clock: WaitableClock
  readonly jobs: CertificateJobs
  /** Where the machine's accounts at CAs are kept; undefined: each cache directory has an account of its own. */
  readonly stateDir?: string | undefined
  /** Replaces what a listener serves, in every worker; resolves when each living worker has acknowledged. */
  publish(listenerId: string, certificates: readonly PushedCertificate[]): Promise<void>
  /** Replaces a listener's armed challenges, in every worker; resolves when each has acknowledged. */
  arm(listenerId: string, challenges: readonly ArmedChallenge[]): Promise<void>
  progress(progress: OrderProgress): void
}

/** How far an order has come: for the terminal and for systemd's status line. */
export type OrderStep =
  /** Another process holds the cache directory. */
  'waiting' | 'account' | 'order' | 'challenge' | 'validating' | 'finalizing' | 'downloading' | 'issued'

export interface OrderProgress {
  readonly listenerId: string
  readonly step: OrderStep
  readonly names: readonly string[]
  readonly detail?: string
}
