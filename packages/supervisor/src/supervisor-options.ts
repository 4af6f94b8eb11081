// The options from the `run` command, and the view of the core for the interfaces of operators. The core
// depends on these types alone; management/ implements the interfaces, and only the command line knows both.
import type { Clock } from '@reverse-proxy/shared/clock'
import type { Config } from '@reverse-proxy/shared/config/config'
import type { ProxyError } from '@reverse-proxy/shared/errors'
import type { Log } from '@reverse-proxy/shared/log-fields'
import type { OrderProgress } from './certificates/services.ts'
import type { Bans } from './bans/bans.ts'
import type { CertificateRegistry } from './certificates/registry/registry.ts'
import type { LoadedConfig } from './config/load.ts'
import type { Intent } from './intents.ts'
import type { Phase } from './phase.ts'
import type { LocalRateLimitAuthority } from './rate-limit/authority.ts'
import type { Reloads } from './reload.ts'
import type { InheritedSockets } from './systemd/inherited-sockets.ts'
import type { ServiceManager } from './systemd/notify.ts'
import type { Fleet } from './workers/fleet.ts'
import type { TrafficTotals } from './workers/traffic-totals.ts'

export interface SupervisorOptions {
  readonly config: Config
  /** Reads the configuration again, for a reload. */
  readonly loadConfig: () => Promise<LoadedConfig>
  /** Prepares the process for a new configuration (log file, worker flags). Throws CONFIG; nothing has changed then. */
  readonly prepareProcess: (next: Config) => Promise<void>
  /** Creates the log file again and writes there. Throws CONFIG. */
  readonly reopenLogs: () => Promise<void>
  readonly clock: Clock
  readonly log: Log
  readonly serviceManager: ServiceManager
  /** Bound by systemd before this process started. */
  readonly inheritedSockets: InheritedSockets
  /** Creates the interfaces for operators, closed; called once. */
  readonly createInterfaces: (core: CoreView) => OperatorInterfaces
  /** Reports the steps of an order, for a terminal. */
  readonly onProgress: (progress: OrderProgress) => void
  /** Traffic is served. */
  readonly onReady: () => void
  /** Receives the one error that made a start fail. */
  readonly onFailure: (error: ProxyError) => void
}

/** The health port, the admin socket and other interfaces for operators. */
export interface OperatorInterfaces {
  /** Throws ProxyError if the supervisor must not serve without. */
  open(config: Config): Promise<void>
  /** Idempotent. */
  close(): Promise<void>
}

/** The state of the supervisor that operators may read, and the queue for what they request. */
export interface CoreView {
  readonly config: () => Config
  readonly phase: () => Phase
  readonly fleet: Pick<
    Fleet,
    'size' | 'isReady' | 'generation' | 'roll' | 'unexpectedExits' | 'workers' | 'clock'
  >
  readonly registry: Pick<CertificateRegistry, 'statuses'>
  readonly reloads: Pick<Reloads, 'outcome'>
  readonly traffic: Pick<TrafficTotals, 'sites' | 'events'>
  readonly rateLimits: Pick<LocalRateLimitAuthority, 'size' | 'leases'>
  readonly bans: Pick<Bans, 'size' | 'list' | 'of'>
  readonly intents: { push(intent: Intent): void }
}
