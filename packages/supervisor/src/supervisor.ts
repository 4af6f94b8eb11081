// The lifecycle of the supervisor from top to bottom: boot the workers, order missing certificates, serve, stop.
// Handlers only queue an intent; the loop in run() acts. The supervisor never parses a client's bytes.
import { assertNever } from '@reverse-proxy/shared/assert-never'
import { stackOf } from '@reverse-proxy/shared/error-text'
import { ProxyError } from '@reverse-proxy/shared/errors'
import { EXIT_FAILURE, EXIT_OK, EXIT_WORKERS_DIED } from '@reverse-proxy/shared/exit-codes'
import { hasTls } from '@reverse-proxy/shared/config/sites'
import { siteCount } from './config/counts.ts'
import type { Intent } from './intents.ts'
import { Components } from './compose.ts'
import type { Phase } from './phase.ts'
import { mayFollow } from './phase.ts'
import { listenForSignals } from './signals.ts'
import type { SupervisorOptions } from './supervisor-options.ts'

/** A start has failed when workers of one slot die this many times in a row before every worker was ready once. */
const HOPELESS_DEATHS = 3
/** The maximum of `workers` in the schema. */
const MAX_WORKERS = 1_024

export class Supervisor {
  readonly #options: SupervisorOptions
  readonly #components: Components
  #phase: Phase = 'booting'
  /** The service manager has been sent READY. */
  #isReady = false
  #backgroundEnded = false
  #exitCode = EXIT_OK

  constructor(options: SupervisorOptions) {
    this.#options = options
    this.#components = new Components(options, {
      phase: () => this.#phase,
      isReady: () => this.#isReady,
      onBootFailed: (error) => this.#onBootFailed(error),
    })
  }

  /** Resolves with the exit code when no worker, lock, timer or socket is left. */
  async run(): Promise<number> {
    const { intents, fleet } = this.#components
    const stopListening = listenForSignals(intents)
    try {
      await this.#boot()
      while (this.#phase !== 'stopped') {
        for (const intent of await intents.next(fleet.wakeAtMs)) this.#act(intent)
        // Converge only when the queue is empty, so that the plan sees every event received so far.
        this.#converge()
      }
    } finally {
      stopListening()
    }
    this.#options.log.info('STOPPED', { code: this.#exitCode })
    return this.#exitCode
  }

  async #boot(): Promise<void> {
    const { config, fleet, interfaces, registry } = this.#components
    const fields = { pid: process.pid, workers: fleet.size, listeners: config.listeners.length }
    this.#options.log.info('STARTING', fields)
    try {
      await interfaces.open(config)
      await registry.load(config)
      // Do not boot workers that would have nothing to serve.
      if (this.#hopelessness !== undefined) this.#fail(this.#hopelessness)
    } catch (error) {
      this.#fail(error)
    }
    this.#converge()
  }

  #act(intent: Intent): void {
    const { operations, fleet } = this.#components
    switch (intent.type) {
      case 'stop':
        this.#stop(intent.reason)
        if (intent.cut) fleet.cut(intent.reason)
        break
      case 'reload':
        void operations.reload(intent.kind).then(intent.reply)
        break
      case 'renew':
        void operations.renew(intent.name).then(intent.reply)
        break
      case 'resize':
        this.#resize(fleet.size + intent.by)
        break
      case 'reopen-logs':
        void operations.reopenLogs().then(intent.reply)
        break
      case 'unban':
        intent.reply(operations.unban(intent.address))
        break
      case 'start-failed':
        this.#fail(intent.error)
        break
      case 'listener-settled':
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

  /** Makes the transitions that follow from the state alone. */
  #converge(): void {
    const { fleet, registry } = this.#components
    fleet.converge()
    if (this.#phase === 'booting' && fleet.isReady) this.#order()
    if (this.#phase === 'ordering' && (this.#servesPlainHttp || registry.serving > 0)) this.#enter('serving')
    if (this.#phase === 'ordering' && this.#hopelessness !== undefined) this.#fail(this.#hopelessness)
    if (this.#phase === 'serving' && registry.isSettled && !this.#isReady) this.#announceReady()
    if (this.#hasBound && fleet.hasNoReadyWorker && this.#options.inheritedSockets.current.length > 0)
      this.#fail(
        new ProxyError('WORKER_BOOT', 'every worker has died', {
          hint: 'systemd hands its sockets over again',
        }),
        EXIT_WORKERS_DIED,
      )
    if (this.#phase === 'stopping' && fleet.isEmpty && this.#backgroundEnded) this.#enter('stopped')
  }

  /** Why nothing is served, and nothing will be. */
  get #hopelessness(): unknown {
    return this.#servesPlainHttp ? undefined : this.#components.registry.hopelessness
  }

  get #servesPlainHttp(): boolean {
    return !this.#components.config.listeners.every(hasTls)
  }

  /** Every worker has bound its ports once. */
  get #hasBound(): boolean {
    return this.#phase === 'ordering' || this.#phase === 'serving'
  }

  /** Every worker is bound. Listeners with a certificate are served; missing certificates are ordered. */
  #order(): void {
    this.#enter('ordering')
    const { registry, ticketKeys } = this.#components
    registry.start()
    ticketKeys.start()
    if (!registry.isSettled) this.#options.serviceManager.ordering('ordering certificates')
  }

  /** Every listener serves, or its first attempt has failed. */
  #announceReady(): void {
    this.#isReady = true
    const { log, serviceManager, onReady } = this.#options
    const { config, fleet, registry } = this.#components
    const { waiting } = registry
    log.info('READY', {
      workers: fleet.size,
      sites: siteCount(config),
      listeners_waiting: waiting === 0 ? undefined : waiting,
    })
    serviceManager.ready(this.#components.summary())
    onReady()
  }

  #stop(reason: string): void {
    if (!mayFollow(this.#phase, 'stopping')) return
    this.#enter('stopping')
    const { log, serviceManager } = this.#options
    const { config, fleet, intents, interfaces, passwords, registry, ticketKeys } = this.#components
    log.info('STOPPING', { reason, timeout_ms: config.shutdownTimeoutMs })
    serviceManager.stopping(config.shutdownTimeoutMs)
    fleet.drain()
    void Promise.all([interfaces.close(), passwords.close(), registry.close(), ticketKeys.close()]).then(() =>
      intents.push({ type: 'background-ended' }),
    )
  }

  #fail(error: unknown, exitCode: number = EXIT_FAILURE): void {
    if (this.#phase === 'stopping' || this.#phase === 'stopped') return
    this.#exitCode = exitCode
    const cause = toProxyError(error)
    this.#options.onFailure(cause)
    const reason = this.#phase === 'serving' ? cause.message : 'start failed'
    this.#stop(reason)
    this.#components.fleet.cut(reason)
  }

  #enter(phase: Phase): void {
    if (!mayFollow(this.#phase, phase)) throw new Error(`phase ${phase} cannot follow ${this.#phase}`)
    this.#phase = phase
    this.#options.log.debug('PHASE', { phase })
  }

  #resize(workers: number): void {
    if (this.#phase !== 'serving' || workers < 1 || workers > MAX_WORKERS) return
    this.#options.log.info('RESIZE', { workers })
    this.#components.fleet.resize(workers)
  }

  #onBootFailed(error: ProxyError): void {
    // The first failure has been reported.
    if (this.#phase === 'stopping' || this.#phase === 'stopped') return
    const { fleet, intents } = this.#components
    const isHopeless = error.code === 'BIND' || fleet.deathsInARow >= HOPELESS_DEATHS
    if (this.#phase === 'booting' && isHopeless) intents.push({ type: 'start-failed', error })
    else this.#options.log.error('WORKER_BOOT_FAILED', { error: error.message })
  }
}

function toProxyError(error: unknown): ProxyError {
  if (error instanceof ProxyError) return error
  const message = stackOf(error)
  return new ProxyError('INTERNAL', message, { cause: error })
}
