// One listener's certificates, whichever way they come about. The supervisor sees this face only.
import { assertNever } from '@reverse-proxy/shared/assert-never'
import type { Listener } from '@reverse-proxy/shared/config/config'
import type { PushedCertificate } from '@reverse-proxy/shared/ipc/messages'
import { AcmeManager } from './acme/manager.ts'
import type { CertificateHost } from './services.ts'
import { InternalManager } from './internal/manager.ts'
import { ManualManager } from './manual/manager.ts'
import type { RenewalLoop } from './renewal/loop.ts'
import type { ManagerStatus } from './status.ts'

export interface CertificateManager {
  readonly listenerId: string
  /** Renews in the background. */
  readonly loop: RenewalLoop
  /**
   * Reads what is cached or configured; internal certificates are issued here. Afterwards, also when it has
   * failed, `current` and `needsOrder` are right, and `start` tries again later what has failed. What `predecessor`, the listener's manager until now, serves and is newer than
   * what is cached serves on. Throws ProxyError CERTIFICATE or CACHE.
   */
  load(predecessor?: CertificateManager): Promise<void>
  /** The certificates that workers serve; empty if none is usable. */
  current(): readonly PushedCertificate[]
  /** Nothing can be served before an attempt has succeeded. */
  needsOrder(): boolean
  /** Why no attempt is due although one is needed: what `load` has thrown, or a waiting time. */
  obstacle(): unknown
  /** True if the served certificates cover every configured name; missing ones are ordered in the background. */
  isComplete(): boolean
  status(): ManagerStatus
  /** From now on renews in the background and publishes what is new; what is ordered waits for `pauseMs` first. */
  start(pauseMs?: number): void
  /**
   * Renews now what would be renewed later, and resolves when it is published; only after `start`. One
   * that is under way will do. Throws ProxyError when it fails, or when the CA has asked to wait.
   */
  renew(): Promise<void>
  /** Stops background work, aborts an order, releases the lock. Idempotent. */
  close(): Promise<void>
}

export function createCertificateManager(
  listener: Listener,
  stateDir: string,
  host: CertificateHost,
): CertificateManager {
  const { tls } = listener
  switch (tls.mode) {
    case 'acme':
      return new AcmeManager(listener.id, tls, host)
    case 'manual':
      return new ManualManager(listener.id, tls, host)
    case 'internal':
      return new InternalManager(
        listener.id,
        listener.sites.map((site) => site.host),
        stateDir,
        host,
      )
    default:
      return assertNever(tls)
  }
}
