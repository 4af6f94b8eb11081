// The supervisor's life, readable from top to bottom: boot the workers, order what is missing,
// open, serve, stop. Handlers only queue an intent; the loop in run() acts. It parses no client's bytes.
import { availableParallelism } from 'node:os'
import { assertNever } from '@reverse-proxy/shared/assert-never'
import type { Clock } from '@reverse-proxy/shared/clock'
import type { Config } from '@reverse-proxy/shared/config/config'
import { ProxyError } from '@reverse-proxy/shared/errors'
import { EXIT_FAILURE, EXIT_OK } from '@reverse-proxy/shared/exit-codes'
import type {
  ArmedChallenge,
  BootFailure,
  PushedCertificate,
  Stage,
  WorkerStart,
} from '@reverse-proxy/shared/ipc/messages'
import type { Log } from '@reverse-proxy/shared/log-fields'
import type { CertificateManager } from './certificates/manager.ts'
import { createCertificateJobs } from './certificates/jobs.ts'
import { createCertificateManager } from './certificates/manager.ts'
import type { OrderProgress } from './certificates/progress.ts'
import { toWorkerConfig } from './config/worker-config.ts'
import type { Intent } from './intents.ts'
import { IntentQueue } from './intents.ts'
import type { Phase } from './phase.ts'
import { mayFollow } from './phase.ts'
import { findPortHolder } from './port-holder.ts'
import { listenForSignals } from './signals.ts'
import { createTicketKeys } from './ticket-keys.ts'
import { Fleet } from './workers/fleet.ts'

/** Deaths in a row of one slot, with no worker ever ready, after which a start has failed. */
const HOPELESS_DEATHS = 3

export interface SupervisorOptions {
  readonly config: Config
  readonly clock: Clock
  readonly log: Log
  /** Certificates are being ordered; for a terminal. */
  readonly onProgress: (progress: OrderProgress) => void
  /** Traffic is served. */
  readonly onReady: () => void
  /** The one clear error of a start that failed. */
  readonly onFailure: (error: ProxyError) => void
}

export class Supervisor {
  readonly #options: SupervisorOptions
  readonly #workerCount: number
  readonly #intents: IntentQueue
  readonly #fleet: Fleet
  readonly #jobs = createCertificateJobs()
  readonly #managers: readonly CertificateManager[]
  readonly #background = new AbortController()

  // What a worker that boots now begins with.
  readonly #certificates = new Map<string, readonly PushedCertificate[]>()
  readonly #challenges = new Map<string, readonly ArmedChallenge[]>()
  readonly #ticketKeys = createTicketKeys()
  #stage: Stage = 'serve'

  #phase: Phase = 'booting'
  #backgroundEnded = false
  #exitCode = EXIT_OK

  constructor(options: SupervisorOptions) {
    this.#options = options
    const { config, clock, log } = options
    this.#workerCount = config.workers === 'auto' ? availableParallelism() : config.workers
    this.#intents = new IntentQueue(clock)
    this.#fleet = new Fleet({
      workers: this.#workerCount,
      clock,
      log,
      startOf: (slot) => this.#startOf(slot),
      drainTimeoutMs: () => config.shutdownTimeoutMs,
      onChange: () => this.#intents.push({ type: 'fleet-changed' }),
      onBootFailed: (failure) => void this.#onBootFailed(failure),
    })
    this.#managers = config.listeners.map((listener) =>
      createCertificateManager(listener, config.stateDir, {
        clock,
        log,
        jobs: this.#jobs,
        publish: async (id, certificates) => await this.#publish(id, certificates),
        arm: async (id, challenges) => await this.#arm(id, challenges),
        progress: options.onProgress,
      }),
    )
  }

  /** Resolves with the exit code when nothing of it is left: no worker, lock, timer or socket. */
  async run(): Promise<number> {
    const stopListening = listenForSignals(this.#intents)
    try {
      await this.#boot()
      while (this.#phase !== 'stopped') {
        const intent = await this.#intents.next(this.#fleet.wakeAtMs)
        if (intent !== undefined) this.#act(intent)
        this.#converge()
      }
    } finally {
      stopListening()
    }
    this.#options.log.info('STOPPED', { code: this.#exitCode })
    return this.#exitCode
  }

  async #boot(): Promise<void> {
    const { config, log } = this.#options
    log.info('STARTING', { pid: process.pid, workers: this.#workerCount, listeners: config.listeners.length })
    try {
      await Promise.all(this.#managers.map(async (manager) => await manager.load()))
      for (const manager of this.#managers) this.#certificates.set(manager.listenerId, manager.current())
      if (this.#managers.some((manager) => manager.needsOrder())) this.#stage = 'challenge'
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
        if (this.#phase === 'booting' && this.#fleet.deathsInARow >= HOPELESS_DEATHS)
          this.#fail(new ProxyError('WORKER_BOOT', 'workers die while starting; the log says how'))
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
    if (this.#phase === 'stopping' && this.#fleet.isEmpty && this.#backgroundEnded) this.#enter('stopped')
  }

  #order(): void {
    this.#enter('ordering')
    const acquired = this.#managers
      .filter((manager) => manager.needsOrder())
      .map(async (manager) => await manager.acquire(this.#background.signal))
    Promise.all(acquired).then(
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
    for (const manager of this.#managers) manager.start()
    const { config, log, onReady } = this.#options
    const sites = config.listeners.reduce((sum, listener) => sum + listener.sites.length, 0)
    log.info('READY', { workers: this.#workerCount, sites })
    onReady()
  }

  #stop(reason: string): void {
    if (!mayFollow(this.#phase, 'stopping')) return
    this.#enter('stopping')
    this.#options.log.info('STOPPING', { reason, timeout_ms: this.#options.config.shutdownTimeoutMs })
    this.#fleet.drain()
    this.#background.abort(new ProxyError('ACME', `stopped: ${reason}`))
    void this.#endBackground().then(() => this.#intents.push({ type: 'background-ended' }))
  }

  async #endBackground(): Promise<void> {
    await Promise.allSettled(this.#managers.map(async (manager) => await manager.close()))
    await this.#jobs.close()
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

  #startOf(slot: number): WorkerStart {
    const { config } = this.#options
    return {
      workerNumber: slot,
      config: toWorkerConfig(config),
      stage: this.#stage,
      certificates: [...this.#certificates].map(([listenerId, certificates]) => ({
        listenerId,
        certificates,
      })),
      challenges: [...this.#challenges].map(([listenerId, challenges]) => ({ listenerId, challenges })),
      ticketKeys: this.#ticketKeys,
    }
  }

  async #publish(listenerId: string, certificates: readonly PushedCertificate[]): Promise<void> {
    this.#certificates.set(listenerId, certificates)
    const outcomes = await this.#fleet.broadcast({
      type: 'certificates',
      listener: { listenerId, certificates },
    })
    for (const outcome of outcomes) {
      if (outcome.result !== 'refused') continue
      const { slot: worker, error } = outcome
      this.#options.log.error('CERT_FAILED', { listener: listenerId, worker, error })
    }
  }

  async #arm(listenerId: string, challenges: readonly ArmedChallenge[]): Promise<void> {
    this.#challenges.set(listenerId, challenges)
    const outcomes = await this.#fleet.broadcast({ type: 'challenges', listener: { listenerId, challenges } })
    const refused = outcomes.find((outcome) => outcome.result === 'refused')
    if (refused?.result === 'refused')
      throw new ProxyError('ACME', `a worker cannot answer the challenge: ${refused.error}`)
  }

  async #onBootFailed(failure: BootFailure): Promise<void> {
    const error = await describeBootFailure(failure)
    if (this.#phase === 'booting') this.#intents.push({ type: 'start-failed', error })
    else this.#options.log.error('WORKER_BOOT_FAILED', { error: error.message })
  }
}

async function describeBootFailure(failure: BootFailure): Promise<ProxyError> {
  if (failure.reason === 'internal')
    return new ProxyError('WORKER_BOOT', `a worker could not start: ${failure.message}`)
  const { address, port, code } = failure
  const where = `port ${port} on ${address}`
  switch (code) {
    case 'EADDRINUSE': {
      const holder = await findPortHolder(port)
      return new ProxyError('BIND', `${where} is taken${holder === undefined ? '' : ` by ${holder}`}`, {
        hint: 'stop that program, or configure another port',
      })
    }
    case 'EACCES':
      return new ProxyError('BIND', `${where} needs more rights than this user has`, {
        hint: 'start as root or under systemd (AmbientCapabilities=CAP_NET_BIND_SERVICE), or use a port from 1024 on',
      })
    case 'EADDRNOTAVAIL':
      return new ProxyError('BIND', `${address} is not an address of this machine`, {
        hint: '`ip address` lists those that are',
      })
    default:
      return new ProxyError('BIND', `${where} cannot be bound: ${code}`)
  }
}

function toProxyError(error: unknown): ProxyError {
  if (error instanceof ProxyError) return error
  return new ProxyError('INTERNAL', error instanceof Error ? (error.stack ?? error.message) : String(error), {
    cause: error,
  })
}
