// The interfaces for operators and their programs: the health port and the admin socket. The supervisor opens them
// before anything else, so that a start can be watched.
import type { Clock } from '@reverse-proxy/shared/clock'
import type { Config } from '@reverse-proxy/shared/config/config'
import type { Log } from '@reverse-proxy/shared/log-fields'
import type { CoreView, OperatorInterfaces } from '../supervisor-options.ts'
import type { AdminSocket } from './admin/admin-socket.ts'
import { startAdminSocket } from './admin/admin-socket.ts'
import { createAdminHandlers } from './admin/handlers.ts'
import type { HealthServer, HealthSources } from './health/health-server.ts'
import { startHealthServer } from './health/health-server.ts'
import { ReportBuilder } from './reports/report-builder.ts'

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
