// Operations that operators ask for by signal or over the admin socket: reload, restart, renew, reopen the logs. Each
// resolves with its outcome and never rejects. The loop decides when they run.
import { messageOf } from '@reverse-proxy/shared/error-text'
import { ProxyError } from '@reverse-proxy/shared/errors'
import type { Log } from '@reverse-proxy/shared/log-fields'
import type { RenewResult } from './management/reports/renew.ts'
import { renewByName } from './management/reports/renew.ts'
import type { CertificateRegistry } from './certificates/registry.ts'
import type { Outcome } from './intents.ts'
import type { Phase } from './phase.ts'
import type { ReloadKind, ReloadResult, Reloads } from './reload.ts'
import type { ServiceManager } from './systemd/notify.ts'
import type { Fleet } from './workers/fleet.ts'

export interface DemandsOptions {
  readonly log: Log
  readonly phase: () => Phase
  /** READY has been said to the service manager, which learns of reloads only then. */
  readonly isReady: () => boolean
  readonly fleet: Fleet
  readonly registry: CertificateRegistry
  readonly reloads: Reloads
  readonly serviceManager: ServiceManager
  /** One line on what is served, for the service manager. */
  readonly summary: () => string
  /** Creates the log file anew and writes there. Throws CONFIG. */
  readonly reopenLogs: () => Promise<void>
}

export class Demands {
  readonly #options: DemandsOptions

  constructor(options: DemandsOptions) {
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

  async renew(name: string): Promise<RenewResult> {
    const { phase, registry } = this.#options
    if (phase() !== 'serving') return { status: 'error', message: this.#notServing() }
    return await renewByName(registry, name)
  }

  /** After logrotate: the file is there again before a worker opens it. */
  async reopenLogs(): Promise<Outcome> {
    const { fleet, log, reopenLogs } = this.#options
    try {
      await reopenLogs()
      await fleet.broadcast({ type: 'reopen-logs' })
      return { status: 'ok' }
    } catch (error) {
      const message = messageOf(error)
      // A directory that is gone, say, is the operator's and no error of ours.
      log.error(error instanceof ProxyError ? 'LOG_FAILED' : 'INTERNAL_ERROR', { error: message })
      return { status: 'error', message }
    }
  }

  #notServing(): string {
    return `the proxy is ${this.#options.phase()}; try again when it serves`
  }
}
