// The options that the `run` command gives the supervisor.
import type { Clock } from '@reverse-proxy/shared/clock'
import type { Config } from '@reverse-proxy/shared/config/config'
import type { ProxyError } from '@reverse-proxy/shared/errors'
import type { Log } from '@reverse-proxy/shared/log-fields'
import type { OrderProgress } from './certificates/progress.ts'
import type { LoadedConfig } from './config/load.ts'
import type { RecentEvents } from './management/health/recent-events.ts'
import type { InheritedSockets } from './systemd/inherited-sockets.ts'
import type { ServiceManager } from './systemd/notify.ts'

export interface SupervisorOptions {
  readonly config: Config
  /** Reads the configuration again, for a reload. */
  readonly loadConfig: () => Promise<LoadedConfig>
  /** Prepares the process for what a reload brings (log file, worker flags). Throws CONFIG; nothing has changed then. */
  readonly beforeReload: (next: Config) => Promise<void>
  /** Creates the log file anew and writes there. Throws CONFIG. */
  readonly reopenLogs: () => Promise<void>
  readonly clock: Clock
  readonly log: Log
  /** Recent log lines, for the status page. */
  readonly events: RecentEvents
  readonly serviceManager: ServiceManager
  /** Bound by systemd before we began. */
  readonly inheritedSockets: InheritedSockets
  /** Certificates are being ordered; for a terminal. */
  readonly onProgress: (progress: OrderProgress) => void
  /** Traffic is served. */
  readonly onReady: () => void
  /** The one clear error of a start that failed. */
  readonly onFailure: (error: ProxyError) => void
}
