// The composition root: creates the components of the supervisor and connects them. Starts nothing; the lifecycle is
// supervisor.ts.
import { randomInt } from 'node:crypto'
import { availableParallelism } from 'node:os'
import { monotonicClock } from '@reverse-proxy/shared/clock'
import type { Config } from '@reverse-proxy/shared/config/config'
import type { ProxyError } from '@reverse-proxy/shared/errors'
import type { WorkerStart } from '@reverse-proxy/shared/ipc/messages'
import { banRulesOf } from '@reverse-proxy/shared/bans/ban-rules'
import { rateLimitsOf } from '@reverse-proxy/shared/rate-limit/rate-limits'
import { PasswordVerifier } from './authentication/password-verifier.ts'
import { Bans } from './bans/bans.ts'
import { CertificateRegistry } from './certificates/registry/registry.ts'
import { withTimers } from './os/waitable-clock.ts'
import { toWorkerConfig } from './config/worker-config.ts'
import { siteCount, workerCount } from './config/counts.ts'
import { plural } from '@reverse-proxy/shared/plural'
import { TrafficTotals } from './workers/traffic-totals.ts'
import { IntentQueue } from './intents.ts'
import { Operations } from './operations.ts'
import type { Phase } from './phase.ts'
import { LocalRateLimitAuthority } from './rate-limit/authority.ts'
import { Reloads } from './reload.ts'
import type { OperatorInterfaces, SupervisorOptions } from './supervisor-options.ts'
import { TicketKeys } from './workers/ticket-keys.ts'
import { Fleet } from './workers/fleet.ts'

/** Clients must not be able to predict the hash of their addresses. */
const SEEDS = 2 ** 32

/** The lifecycle as the components see it. */
export interface Lifecycle {
  readonly phase: () => Phase
  /** The service manager has been sent READY. */
  readonly isReady: () => boolean
  readonly onBootFailed: (error: ProxyError) => void
}

export class Components {
  readonly intents = new IntentQueue(monotonicClock)
  readonly fleet: Fleet
  readonly registry: CertificateRegistry
  readonly ticketKeys: TicketKeys
  readonly operations: Operations
  readonly interfaces: OperatorInterfaces
  readonly passwords: PasswordVerifier
  readonly bans: Bans
  readonly #rateLimits: LocalRateLimitAuthority
  readonly #traffic = new TrafficTotals()
  #config: Config

  constructor(options: SupervisorOptions, { phase, isReady, onBootFailed }: Lifecycle) {
    const { config, clock, log, inheritedSockets, serviceManager } = options
    this.#config = config
    this.#rateLimits = new LocalRateLimitAuthority({
      limits: rateLimitsOf(config),
      log,
      nowMs: () => monotonicClock.nowMs(),
      workers: () => this.fleet.readySize,
      seed: randomInt(SEEDS),
    })
    this.bans = new Bans({
      log,
      nowMs: () => monotonicClock.nowMs(),
      seed: randomInt(SEEDS),
      publish: (changes) => void this.fleet.broadcast({ type: 'bans', changes }),
    })
    this.bans.configure(banRulesOf(config))
    this.passwords = new PasswordVerifier(monotonicClock, log)
    this.passwords.configure(config.passwordFiles)
    this.fleet = new Fleet({
      workers: workerCount(config),
      bootsAtOnce: availableParallelism(),
      clock: monotonicClock,
      log,
      startOf: (slot) => this.#startOf(slot, inheritedSockets.current),
      drainTimeoutMs: () => this.#config.shutdownTimeoutMs,
      recycle: () => this.#config.recycle,
      onCounts: (counts) => this.#traffic.add(counts),
      rateLimits: this.#rateLimits,
      onOffences: (offences) => this.bans.report(offences),
      verifyPassword: async (check) => await this.passwords.verify(check),
      onChange: () => this.intents.push({ type: 'fleet-changed' }),
      onBootFailed,
    })
    this.registry = new CertificateRegistry({
      stateDir: config.stateDir,
      clock: withTimers(clock),
      log,
      broadcast: async (update) => await this.fleet.broadcast(update),
      progress: options.onProgress,
      onSettled: () => this.intents.push({ type: 'listener-settled' }),
    })
    this.ticketKeys = new TicketKeys({
      clock,
      publish: (ticketKeys) => void this.fleet.broadcast({ type: 'ticket-keys', ticketKeys }),
    })
    const { fleet, registry, bans } = this
    const reloads = new Reloads({
      clock,
      log,
      registry,
      fleet,
      load: options.loadConfig,
      prepareProcess: options.prepareProcess,
      inheritedSockets,
      config: () => this.#config,
      setConfig: (next) => this.#setConfig(next),
    })
    this.operations = new Operations({
      log,
      phase,
      isReady,
      fleet,
      registry,
      reloads,
      bans,
      serviceManager,
      summary: () => this.summary(),
      reopenLogs: options.reopenLogs,
    })
    this.interfaces = options.createInterfaces({
      phase,
      config: () => this.#config,
      fleet,
      registry,
      reloads,
      traffic: this.#traffic,
      rateLimits: this.#rateLimits,
      bans,
      intents: this.intents,
    })
  }

  /** The configuration in force. */
  get config(): Config {
    return this.#config
  }

  /** One line on what is served. */
  summary(): string {
    const { waiting } = this.registry
    const without = waiting === 0 ? '' : `; ${plural(waiting, 'listener')} without a certificate`
    return `serving ${plural(siteCount(this.#config), 'site')} with ${plural(this.fleet.size, 'worker')}${without}`
  }

  /** Called before any worker gets the new configuration. */
  #setConfig(next: Config): void {
    // Keep the sites of both: the reload may still fail, and old workers count requests for their own sites.
    this.#traffic.keepSites([...this.#config.listeners, ...next.listeners])
    this.#config = next
    this.#rateLimits.configure(rateLimitsOf(next))
    this.bans.configure(banRulesOf(next))
    this.passwords.configure(next.passwordFiles)
  }

  #startOf(slot: number, inheritedSockets: WorkerStart['inheritedSockets']): WorkerStart {
    return {
      workerNumber: slot,
      workers: this.fleet.size,
      config: toWorkerConfig(this.#config),
      certificates: this.registry.certificates,
      challenges: this.registry.challenges,
      ticketKeys: this.ticketKeys.current,
      inheritedSockets,
      bans: this.bans.packed,
    }
  }
}
