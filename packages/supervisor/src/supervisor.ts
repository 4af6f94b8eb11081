// The supervisor's life, readable from top to bottom: boot the workers, order what is missing,
// open, serve, stop. Handlers only queue an intent; the loop in run() acts. It parses no client's bytes.
import { randomInt } from 'node:crypto'
import { availableParallelism } from 'node:os'
import { assertNever } from '@reverse-proxy/shared/assert-never'
import type { Config } from '@reverse-proxy/shared/config/config'
import { stackOf } from '@reverse-proxy/shared/error-text'
import { ProxyError } from '@reverse-proxy/shared/errors'
import { EXIT_FAILURE, EXIT_OK } from '@reverse-proxy/shared/exit-codes'
import type { Stage, WorkerStart } from '@reverse-proxy/shared/ipc/messages'
import { rateLimitsOf } from '@reverse-proxy/shared/rate-limits'
import { plural, siteCount } from './counts.ts'
import { CertificateRegistry } from './certificates/registry.ts'
import { withTimers } from './certificates/sleep-until.ts'
import { toWorkerConfig } from './config/worker-config.ts'
import { Demands } from './demands.ts'
import type { Intent } from './intents.ts'
import { TrafficBook } from './health/traffic-book.ts'
import { IntentQueue } from './intents.ts'
import { monotonicClock } from './monotonic-clock.ts'
import { OperatorInterfaces } from './operator-interfaces.ts'
import type { Phase } from './phase.ts'
import { mayFollow } from './phase.ts'
import { LocalRateLimitAuthority } from './rate-limit-authority.ts'
import { Reloads } from './reloads.ts'
import { listenForSignals } from './signals.ts'
import type { SupervisorOptions } from './supervisor-options.ts'
import { TicketKeys } from './ticket-keys.ts'
import { Fleet } from './workers/fleet.ts'

/** Deaths in a row of one slot, before every worker was ready once, after which a start has failed. */
const HOPELESS_DEATHS = 3
/** As the schema has it for `workers`. */
const MAX_WORKERS = 1_024
/** The hash of client addresses is not to be foreseen. */
const SEEDS = 2 ** 32

export class Supervisor {
  readonly #options: SupervisorOptions
  readonly #intents: IntentQueue
  readonly #fleet: Fleet
  readonly #rateLimits: LocalRateLimitAuthority
  readonly #registry: CertificateRegistry
  readonly #reloads: Reloads
  readonly #stopping = new AbortController()
  readonly #ticketKeys: TicketKeys
  readonly #demands: Demands
  readonly #operators: OperatorInterfaces
  readonly #traffic = new TrafficBook()
  #config: Config
  /** What a worker that boots now begins with. */
  #stage: Stage = 'serve'
  #phase: Phase = 'booting'
  #backgroundEnded = false
  #exitCode = EXIT_OK

  constructor(options: SupervisorOptions) {
    this.#options = options
    this.#config = options.config
    const { config, clock, log, loadConfig, beforeReload } = options
    this.#intents = new IntentQueue(monotonicClock)
    this.#rateLimits = new LocalRateLimitAuthority({
      limits: rateLimitsOf(config),
      log,
      nowMs: () => monotonicClock.nowMs(),
      workers: () => this.#fleet.readySize,
      seed: randomInt(SEEDS),
    })
    this.#fleet = new Fleet({
      workers: workerCount(config),
      clock: monotonicClock,
      log,
      startOf: (slot) => this.#startOf(slot),
      drainTimeoutMs: () => this.#config.shutdownTimeoutMs,
      recycle: () => this.#config.recycle,
      onCounts: (counts) => this.#traffic.add(counts),
      rateLimits: this.#rateLimits,
      onChange: () => this.#intents.push({ type: 'fleet-changed' }),
      onBootFailed: (error) => this.#onBootFailed(error),
    })
    this.#registry = new CertificateRegistry({
      stateDir: config.stateDir,
      clock: withTimers(clock),
      log,
      broadcast: async (push) => await this.#fleet.broadcast(push),
      progress: options.onProgress,
    })
    this.#ticketKeys = new TicketKeys({
      clock,
      publish: (ticketKeys) => void this.#fleet.broadcast({ type: 'ticket-keys', ticketKeys }),
    })
    this.#reloads = new Reloads({
      clock,
      log,
      registry: this.#registry,
      fleet: this.#fleet,
      load: loadConfig,
      before: beforeReload,
      inheritedSockets: options.inheritedSockets,
      workerCount,
      current: () => this.#config,
      replace: (next) => this.#useConfig(next),
    })
    const phase = (): Phase => this.#phase
    this.#demands = new Demands({
      log,
      phase,
      fleet: this.#fleet,
      registry: this.#registry,
      reloads: this.#reloads,
      serviceManager: options.serviceManager,
      summary: () => this.#summary(),
      reopenLogs: options.reopenLogs,
    })
    this.#operators = new OperatorInterfaces({
      log,
      clock,
      phase,
      config: () => this.#config,
      fleet: this.#fleet,
      registry: this.#registry,
      reloads: this.#reloads,
      traffic: this.#traffic,
      rateLimits: this.#rateLimits,
      events: options.events,
      intents: this.#intents,
    })
  }

  /** Resolves with the exit code when nothing of it is left: no worker, lock, timer or socket. */
  async run(): Promise<number> {
    const stopListening = listenForSignals(this.#intents)
    try {
      await this.#boot()
      while (this.#phase !== 'stopped') {
        const intent = await this.#intents.next(this.#fleet.wakeAtMs)
        if (intent !== undefined) this.#act(intent)
        // Not in view of half of what has happened.
        if (this.#intents.isEmpty) this.#converge()
      }
    } finally {
      stopListening()
    }
    this.#options.log.info('STOPPED', { code: this.#exitCode })
    return this.#exitCode
  }

  async #boot(): Promise<void> {
    const { listeners } = this.#config
    const fields = { pid: process.pid, workers: this.#fleet.size, listeners: listeners.length }
    this.#options.log.info('STARTING', fields)
    try {
      await this.#operators.open(this.#config)
      await this.#registry.load(this.#config)
      if (this.#registry.needsOrder) this.#stage = 'challenge'
    } catch (error) {
      this.#fail(error)
    }
    this.#converge()
  }

  #act(intent: Intent): void {
    switch (intent.type) {
      case 'stop':
        this.#stop(intent.reason)
        if (intent.cut) this.#fleet.cut(intent.reason)
        break
      case 'reload':
        void this.#demands.reload(intent.kind).then(intent.reply)
        break
      case 'renew':
        void this.#demands.renew(intent.name).then(intent.reply)
        break
      case 'resize':
        this.#resize(this.#fleet.size + intent.by)
        break
      case 'reopen-logs':
        void this.#demands.reopenLogs().then(intent.reply)
        break
      case 'start-failed':
        this.#fail(intent.error)
        break
      case 'certificates-acquired':
        if (this.#phase === 'ordering') this.#open()
        break
      case 'workers-opened':
        if (this.#phase === 'opening') this.#serve()
        break
      case 'background-ended':
        this.#backgroundEnded = true
        break
      case 'fleet-changed':
        break
      default:
        assertNever(intent)
    }
  }

  /** Whatever follows from the state by itself, without having been asked for. */
  #converge(): void {
    this.#fleet.converge()
    if (this.#phase === 'booting' && this.#fleet.isReady) {
      if (this.#stage === 'challenge') this.#order()
      else this.#open()
    }
    if (this.#phase === 'serving' && this.#fleet.isBare && this.#options.inheritedSockets.current.length > 0)
      this.#fail(
        new ProxyError('WORKER_BOOT', 'every worker has died', {
          hint: 'systemd hands its sockets over again',
        }),
      )
    if (this.#phase === 'stopping' && this.#fleet.isEmpty && this.#backgroundEnded) this.#enter('stopped')
  }

  #order(): void {
    this.#enter('ordering')
    this.#options.serviceManager.ordering('ordering certificates')
    this.#registry.acquire(this.#stopping.signal).then(
      () => this.#intents.push({ type: 'certificates-acquired' }),
      (error: unknown) => this.#intents.push({ type: 'start-failed', error: toProxyError(error) }),
    )
  }

  #open(): void {
    this.#enter('opening')
    this.#stage = 'serve'
    void this.#fleet
      .broadcast({ type: 'stage', stage: 'serve' })
      .then(() => this.#intents.push({ type: 'workers-opened' }))
  }

  #serve(): void {
    this.#enter('serving')
    this.#registry.start()
    this.#ticketKeys.start()
    this.#options.log.info('READY', { workers: this.#fleet.size, sites: siteCount(this.#config) })
    this.#options.serviceManager.ready(this.#summary())
    this.#options.onReady()
  }

  #summary(): string {
    return `serving ${plural(siteCount(this.#config), 'site')} with ${plural(this.#fleet.size, 'worker')}`
  }

  #stop(reason: string): void {
    if (!mayFollow(this.#phase, 'stopping')) return
    this.#enter('stopping')
    this.#options.log.info('STOPPING', { reason, timeout_ms: this.#config.shutdownTimeoutMs })
    this.#options.serviceManager.stopping()
    this.#fleet.drain()
    this.#stopping.abort(new ProxyError('ACME', `stopped: ${reason}`))
    void Promise.all([this.#operators.close(), this.#registry.close(), this.#ticketKeys.close()]).then(() =>
      this.#intents.push({ type: 'background-ended' }),
    )
  }

  #fail(error: unknown): void {
    if (this.#phase === 'stopping' || this.#phase === 'stopped') return
    this.#exitCode = EXIT_FAILURE
    this.#options.onFailure(toProxyError(error))
    this.#stop('start failed')
    this.#fleet.cut('start failed')
  }

  #enter(phase: Phase): void {
    if (!mayFollow(this.#phase, phase)) throw new Error(`phase ${phase} cannot follow ${this.#phase}`)
    this.#phase = phase
    this.#options.log.debug('PHASE', { phase })
  }

  #resize(workers: number): void {
    if (this.#phase !== 'serving' || workers < 1 || workers > MAX_WORKERS) return
    this.#options.log.info('RESIZE', { workers })
    this.#fleet.resize(workers)
  }

  /** Before any worker hears of it. */
  #useConfig(next: Config): void {
    // A reload may fail yet, and old workers still count for the sites that they know.
    this.#traffic.keepSites([...this.#config.listeners, ...next.listeners])
    this.#config = next
    this.#rateLimits.configure(rateLimitsOf(next))
  }

  #startOf(slot: number): WorkerStart {
    return {
      workerNumber: slot,
      workers: this.#fleet.size,
      config: toWorkerConfig(this.#config),
      stage: this.#stage,
      certificates: this.#registry.certificates,
      challenges: this.#registry.challenges,
      ticketKeys: this.#ticketKeys.current,
      inheritedSockets: this.#options.inheritedSockets.current,
    }
  }

  #onBootFailed(error: ProxyError): void {
    // The first of them has been said.
    if (this.#phase === 'stopping' || this.#phase === 'stopped') return
    const isHopeless = error.code === 'BIND' || this.#fleet.deathsInARow >= HOPELESS_DEATHS
    if (this.#phase === 'booting' && isHopeless) this.#intents.push({ type: 'start-failed', error })
    else this.#options.log.error('WORKER_BOOT_FAILED', { error: error.message })
  }
}

function workerCount({ workers }: Config): number {
  return workers === 'auto' ? availableParallelism() : workers
}

function toProxyError(error: unknown): ProxyError {
  if (error instanceof ProxyError) return error
  const message = stackOf(error)
  return new ProxyError('INTERNAL', message, { cause: error })
}
