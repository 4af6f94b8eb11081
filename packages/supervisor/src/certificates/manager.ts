// The interface of all certificate managers: one looks after the certificates of one listener.

import type { PushedCertificate } from '@reverse-proxy/shared/ipc/messages'
import type { ManagerStatus, RenewalAlarm } from './status.ts'

/** Why a manager is closed unless something else is said. */
export const STOPPING = 'the supervisor is stopping'

export interface BackgroundLoop {
  /** Set if the renewal itself no longer works. */
  readonly alarm: RenewalAlarm | undefined
  /** How the first attempt ended. Rejects as an attempt does, or when the loop ends before one. */
  readonly firstAttempt: Promise<void>
}

export interface CertificateManager {
  readonly listenerId: string
  /** Renews in the background. */
  readonly loop: BackgroundLoop
  /**
   * Reads the cached or configured certificates; issues internal ones. `current` and `needsOrder` are valid
   * afterwards, also after an error, and `start` retries. A certificate of `previous`, the listener's manager until
   * now, stays in service if it is newer than the cached one. Throws ProxyError CERTIFICATE or CACHE.
   */
  load(previous?: CertificateManager): Promise<void>
  /** The certificates that workers serve; empty if none is usable. */
  current(): readonly PushedCertificate[]
  /** Nothing can be served before an attempt has succeeded. */
  needsOrder(): boolean
  /** Why no attempt is due although one is needed: what `load` has thrown, or a waiting time. */
  obstacle(): unknown
  /** True if the served certificates cover every configured name; missing ones are ordered in the background. */
  isComplete(): boolean
  status(): ManagerStatus
  /** Begins to renew in the background and to publish new certificates. Orders wait for `pauseMs` first. */
  start(pauseMs?: number): void
  /**
   * Renews now what would be renewed later, and resolves when it is published; only after `start`. One
   * that is under way will do. Throws ProxyError when it fails, or when the CA has asked to wait.
   */
  renew(): Promise<void>
  /**
   * Stops background work, aborts an order, releases the lock. `reason` is the error of who waits for `renew`; by
   * default that the supervisor is stopping. Idempotent.
   */
  close(reason?: string): Promise<void>
}
