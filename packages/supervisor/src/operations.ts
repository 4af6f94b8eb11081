// Operations that operators request by signal or over the admin socket: reload, restart, renew, reopen the logs. Each
// resolves with its result and never rejects. The loop in supervisor.ts decides when they run.
import { messageOf } from '@reverse-proxy/shared/error-text'
import { describeWithHint, ProxyError } from '@reverse-proxy/shared/errors'
import type { Log } from '@reverse-proxy/shared/log-fields'
import type { Bans } from './bans/bans.ts'
import type { CertificateRegistry } from './certificates/registry/registry.ts'
import type { ListenerStatus } from './certificates/status.ts'
import type { Phase } from './phase.ts'
import type { ReloadKind, ReloadResult, Reloads } from './reload.ts'
import type { ServiceManager } from './systemd/notify.ts'
import type { Fleet } from './workers/fleet.ts'

interface OperationError {
  readonly status: 'error'
  readonly message: string
}

/** The result of an operation that returns nothing. */
export type Outcome = { readonly status: 'ok' } | OperationError

/** `renewed`: the listeners that serve a new certificate. */
export type RenewResult =
  | { readonly status: 'ok'; readonly renewed: readonly ListenerStatus[] }
  | OperationError

export interface OperationsOptions {
  readonly log: Log
  readonly phase: () => Phase
  /** The service manager has been sent READY; it gets messages about reloads only after that. */
  readonly isReady: () => boolean
  readonly fleet: Fleet
  readonly registry: CertificateRegistry
  readonly reloads: Reloads
  readonly bans: Pick<Bans, 'unban'>
  readonly serviceManager: ServiceManager
  /** One line on what is served, for the service manager. */
  readonly summary: () => string
  /** Creates the log file again and writes there. Throws CONFIG. */
  readonly reopenLogs: () => Promise<void>
}

export class Operations {
  readonly #options: OperationsOptions

  constructor(options: OperationsOptions) {
    this.#options = options
  }

  async reload(kind: ReloadKind): Promise<ReloadResult> {
    const { log, phase, isReady, reloads, serviceManager, summary } = this.#options
    if (phase() !== 'serving') {
      const message = this.#notServing()
      // The log is the only reply to a signal.
      log.warn('CONFIG_RELOAD', { status: 'failed', kind, error: message })
      return { status: 'error', message, errors: [] }
    }
    const wasReady = isReady()
    if (wasReady) serviceManager.reloading()
    const result = await reloads.request(kind)
    if (wasReady && phase() === 'serving') serviceManager.ready(summary())
    return result
  }

  /** Renews every certificate that has `name` now; resolves when the new ones are served. */
  async renew(name: string): Promise<RenewResult> {
    const { phase, registry } = this.#options
    if (phase() !== 'serving') return { status: 'error', message: this.#notServing() }
    try {
      const renewed = await registry.renew(name.toLowerCase())
      if (renewed.length > 0) return { status: 'ok', renewed }
      return { status: 'error', message: `no certificate has the name ${name}; certs lists them` }
    } catch (error) {
      return { status: 'error', message: describeWithHint(error) }
    }
  }

  /** Lifts the ban of `address`. */
  unban(address: string): Outcome {
    const fault = this.#options.bans.unban(address)
    if (fault === undefined) return { status: 'ok' }
    const what = fault === 'not-banned' ? 'is not banned' : 'is not an IP address'
    return { status: 'error', message: `${address} ${what}; bans lists who is banned` }
  }

  /** Called after a log rotation. The file exists again before a worker opens it. */
  async reopenLogs(): Promise<Outcome> {
    const { fleet, log, reopenLogs } = this.#options
    try {
      await reopenLogs()
      await fleet.broadcast({ type: 'reopen-logs' })
      return { status: 'ok' }
    } catch (error) {
      const message = messageOf(error)
      // A missing directory, for example, is the operator's fault and not an internal error.
      log.error(error instanceof ProxyError ? 'LOG_FAILED' : 'INTERNAL_ERROR', { error: message })
      return { status: 'error', message }
    }
  }

  #notServing(): string {
    return `the proxy is ${this.#options.phase()}; try again when it serves`
  }
}
