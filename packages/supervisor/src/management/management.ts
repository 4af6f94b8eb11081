// The interfaces for operators and their programs: the health port and the admin socket. The supervisor opens them
// before anything else, so that a start can be watched. An admin command that reports is answered at once; any other
// becomes an intent of the supervisor, whose result is the reply.
import type { Clock } from '@reverse-proxy/shared/clock'
import type { Config } from '@reverse-proxy/shared/config/config'
import type { Log } from '@reverse-proxy/shared/log-fields'
import { reportIssue } from '../config/report.ts'
import type { Intent, Reply } from '../intents.ts'
import type { Outcome, RenewResult } from '../operations.ts'
import type { ReloadKind, ReloadResult } from '../reload.ts'
import type { CoreView, OperatorInterfaces } from '../supervisor-options.ts'
import { startAdminSocket, type AdminSocket } from './admin/admin-socket.ts'
import { CommandError, type AdminHandlers } from './admin/protocol.ts'
import { startHealthServer, type HealthServer, type HealthSources } from './health/health-server.ts'
import { reportRenewed } from './reports/certificate-report.ts'
import { ReportBuilder } from './reports/report-builder.ts'
import type { ReloadReport } from './reports/reports.ts'

export interface ManagementOptions extends CoreView, Pick<HealthSources, 'events'> {
  readonly clock: Clock
  readonly log: Log
}

export class Management implements OperatorInterfaces {
  readonly #options: ManagementOptions
  readonly #reports: ReportBuilder
  #health: HealthServer | undefined
  #admin: AdminSocket | undefined

  constructor(options: ManagementOptions) {
    this.#options = options
    this.#reports = new ReportBuilder({ ...options, pid: process.pid })
  }

  /** Throws ProxyError BIND for the health port. Without its admin socket the proxy serves, and logs a warning. */
  async open({ healthCheckPort, adminSocketPath }: Config): Promise<void> {
    const { log, intents, traffic, events, rateLimits } = this.#options
    const reports = this.#reports
    if (healthCheckPort !== 0)
      this.#health = await startHealthServer(healthCheckPort, { reports, traffic, events, rateLimits })
    if (adminSocketPath === '') return
    const handlers = createAdminHandlers({ reports, intents })
    this.#admin = await startAdminSocket({ path: adminSocketPath, log, handlers })
  }

  async close(): Promise<void> {
    await Promise.all([this.#health?.close(), this.#admin?.close()])
  }
}

interface AdminHandlerOptions {
  readonly reports: ReportBuilder
  readonly intents: { push(intent: Intent): void }
}

function createAdminHandlers({ reports, intents }: AdminHandlerOptions): AdminHandlers {
  const ask = async <Result>(intentFor: (reply: Reply<Result>) => Intent): Promise<Result> =>
    await new Promise<Result>((resolve) => intents.push(intentFor(resolve)))

  const reload = async (kind: ReloadKind): Promise<ReloadReport> => {
    const result = await ask<ReloadResult>((reply) => ({ type: 'reload', kind, reply }))
    if (result.status === 'error') throw new CommandError(result.message, result.errors.map(reportIssue))
    const { status: _, ...report } = result
    return report
  }

  return {
    status: async () => reports.status(),
    workers: async () => reports.workers(),
    certs: async () => reports.certs(),
    config: async () => reports.config(),
    bans: async ([address]) => reports.bans(address),
    unban: async ([address = '']) => {
      const outcome = await ask<Outcome>((reply) => ({ type: 'unban', address, reply }))
      if (outcome.status === 'error') throw new CommandError(outcome.message)
      return {}
    },
    reload: async () => await reload('reload'),
    restart: async () => await reload('restart'),
    renew: async ([name = '']) => {
      const result = await ask<RenewResult>((reply) => ({ type: 'renew', name, reply }))
      if (result.status === 'error') throw new CommandError(result.message)
      return { renewed: result.renewed.map(reportRenewed) }
    },
    'reopen-logs': async () => {
      const outcome = await ask<Outcome>((reply) => ({ type: 'reopen-logs', reply }))
      if (outcome.status === 'error') throw new CommandError(outcome.message)
      return {}
    },
  }
}
