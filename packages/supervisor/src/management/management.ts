// Where operators and their programs come in: the health port and the admin socket. Opened before anything
// else, so that a start can be watched; what is said there is admin/ and health/.
import type { Config } from '@reverse-proxy/shared/config/config'
import type { Log } from '@reverse-proxy/shared/log-fields'
import type { AdminSocket } from './admin/admin-socket.ts'
import { startAdminSocket } from './admin/admin-socket.ts'
import { createAdminHandlers } from './admin/handlers.ts'
import type { ReportSources } from './reports/report-builder.ts'
import { ReportBuilder } from './reports/report-builder.ts'
import type { HealthServer, HealthSources } from './health/health-server.ts'
import { startHealthServer } from './health/health-server.ts'
import type { IntentQueue } from '../intents.ts'

export interface OperatorInterfacesOptions
  extends Omit<HealthSources, 'reports'>, Omit<ReportSources, 'pid'> {
  readonly log: Log
  readonly intents: IntentQueue
}

export class OperatorInterfaces {
  readonly #options: OperatorInterfacesOptions
  readonly #reports: ReportBuilder
  #health: HealthServer | undefined
  #admin: AdminSocket | undefined

  constructor(options: OperatorInterfacesOptions) {
    this.#options = options
    this.#reports = new ReportBuilder({ ...options, pid: process.pid })
  }

  /** Throws ProxyError BIND for the health port; a proxy whose admin socket cannot be had serves without, and says so. */
  async open({ healthCheckPort, adminSocketPath }: Config): Promise<void> {
    const { log, intents, traffic, events, rateLimits } = this.#options
    const reports = this.#reports
    if (healthCheckPort !== 0)
      this.#health = await startHealthServer(healthCheckPort, { reports, traffic, events, rateLimits })
    if (adminSocketPath === '') return
    const handlers = createAdminHandlers({ reports, intents })
    this.#admin = await startAdminSocket({ path: adminSocketPath, log, handlers })
  }

  /** Idempotent. */
  async close(): Promise<void> {
    await Promise.all([this.#health?.close(), this.#admin?.close()])
  }
}
