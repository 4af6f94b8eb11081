// Reload and restart while serving: the file is read and checked as a whole, then applied as a whole, or nothing
// changes. One runs at a time; each caller gets the result.
import type { Clock } from '@reverse-proxy/shared/clock'
import type { Config } from '@reverse-proxy/shared/config/config'
import type { ConfigChange } from '@reverse-proxy/shared/config/split'
import { afterReload, compareConfigs } from '@reverse-proxy/shared/config/split'
import { describeWithHint } from '@reverse-proxy/shared/errors'
import type { Log, LogFields } from '@reverse-proxy/shared/log-fields'
import { siteCount, workerCount } from './config/counts.ts'
import type { ReloadTransaction } from './certificates/registry/reload-transaction.ts'
import type { CertificateRegistry } from './certificates/registry/registry.ts'
import { ConfigErrors, type LocatedIssue } from './config/document/config-errors.ts'
import type { LoadedConfig } from './config/load.ts'
import { describeIssue, placeOf } from './config/report.ts'
import { toWorkerConfig } from './config/worker-config.ts'
import type { InheritedSockets } from './systemd/inherited-sockets.ts'
import type { Fleet } from './workers/fleet.ts'

/**
 * `reload` reads the file and replaces workers only if a change needs it. `restart` replaces workers and does not read
 * the file. `reload-and-restart` (SIGHUP) does both.
 */
export type ReloadKind = 'reload' | 'restart' | 'reload-and-restart'

export type ReloadResult = ReloadSuccess | ReloadFailure

export interface ReloadSuccess {
  readonly status: 'ok'
  readonly sites: number
  readonly workers: 'kept' | 'replaced'
  /** `pending`: a certificate is being ordered in the background. */
  readonly certificates: 'current' | 'pending'
  readonly warnings: readonly string[]
}

interface ReloadFailure {
  readonly status: 'error'
  readonly message: string
  /** Every error of the configuration, if that is the reason. */
  readonly errors: readonly LocatedIssue[]
}

/** The result of the last reload. */
export interface ReloadOutcome {
  readonly atMs: number
  readonly failure: ReloadFailure | undefined
}

interface WantedWorkers {
  readonly size: number
  /** Replace the workers that run already. */
  readonly freshWorkers: boolean
}

export interface ReloadsOptions {
  readonly clock: Clock
  readonly log: Log
  readonly registry: CertificateRegistry
  readonly fleet: Fleet
  /** Reads the configuration again. Throws ConfigErrors. */
  readonly load: () => Promise<LoadedConfig>
  /** Prepares the process for `next` (log file, worker flags). Throws ProxyError; nothing has changed then. */
  readonly prepareProcess: (next: Config) => Promise<void>
  readonly inheritedSockets: InheritedSockets
  /** The configuration in force. */
  readonly config: () => Config
  readonly setConfig: (config: Config) => void
}

export class Reloads {
  readonly #options: ReloadsOptions
  #last: Promise<unknown> = Promise.resolve()
  /** Requested and not started yet. */
  readonly #waiting = new Map<ReloadKind, Promise<ReloadResult>>()
  readonly #restartWarnings = new RestartWarnings()
  #outcome: ReloadOutcome | undefined

  constructor(options: ReloadsOptions) {
    this.#options = options
  }

  /** Undefined before the first. */
  get outcome(): ReloadOutcome | undefined {
    return this.#outcome
  }

  /**
   * Waits for earlier requests; never rejects. Resolves when the last fresh worker is ready. A request of a kind that
   * already waits gets the result of the waiting one, which has yet to read the file: a hundred SIGHUPs make two rolls.
   */
  async request(kind: ReloadKind): Promise<ReloadResult> {
    const waiting = this.#waiting.get(kind)
    if (waiting !== undefined) return await waiting
    const performed = this.#performAfter(this.#last, kind)
    this.#waiting.set(kind, performed)
    this.#last = performed
    return await performed
  }

  async #performAfter(earlier: Promise<unknown>, kind: ReloadKind): Promise<ReloadResult> {
    await earlier
    this.#waiting.delete(kind)
    const result = await this.#perform(kind)
    const failure = result.status === 'error' ? result : undefined
    this.#outcome = { atMs: this.#options.clock.nowMs(), failure }
    return result
  }

  async #perform(kind: ReloadKind): Promise<ReloadResult> {
    const { log } = this.#options
    try {
      const result = await this.#apply(kind)
      const { status: _, warnings, ...fields } = result
      log.info('CONFIG_RELOAD', { status: 'success', kind, ...fields })
      for (const warning of warnings) log.warn('CONFIG_RELOAD', { warning })
      return result
    } catch (error) {
      const result = describeFailure(error)
      log.error('CONFIG_RELOAD', { status: 'failed', kind, error: result.message })
      for (const issue of result.errors) log.error('CONFIG_RELOAD', { status: 'failed', ...fieldsOf(issue) })
      return result
    }
  }

  async #apply(kind: ReloadKind): Promise<ReloadSuccess> {
    const { config, fleet, load } = this.#options
    const running = config()
    const warnings: string[] = []
    let next = running
    if (kind !== 'restart') {
      const loaded = await load()
      warnings.push(...loaded.warnings.map(describeIssue))
      next = afterReload(running, loaded.config)
      warnings.push(...this.#restartWarnings.take(compareConfigs(running, loaded.config).needsRestart))
    }
    const change = compareConfigs(running, next)
    const freshWorkers = kind !== 'reload' || change.needsFreshWorkers
    // A size set by SIGTTIN or SIGTTOU holds until the file is read again.
    const size = kind === 'restart' ? fleet.size : workerCount(next)
    warnings.push(...(await this.#switchTo(next, change, { size, freshWorkers })))
    warnings.push(...this.#options.inheritedSockets.change(running, next))
    const certificates = this.#options.registry.isComplete ? 'current' : 'pending'
    const sites = siteCount(next)
    return { status: 'ok', sites, workers: freshWorkers ? 'replaced' : 'kept', certificates, warnings }
  }

  /**
   * Applies `next` as a whole, and returns warnings. On failure the running configuration applies again and the old
   * workers stay.
   */
  async #switchTo(
    next: Config,
    change: ConfigChange,
    { size, freshWorkers }: WantedWorkers,
  ): Promise<readonly string[]> {
    const { registry, fleet, prepareProcess, config } = this.#options
    const running = config()
    const sizeBefore = fleet.size
    const transaction = await registry.prepare(change)
    try {
      await prepareProcess(next)
    } catch (error) {
      await transaction.rollback()
      throw error
    }
    try {
      // Running workers take over certificates, sites and limits. Other settings apply to fresh workers.
      this.#use(next, size)
      await transaction.apply()
      await this.#configureWorkers()
      if (freshWorkers) await fleet.replace()
      else if (fleet.size > sizeBefore) await fleet.fill()
    } catch (error) {
      await this.#goBackTo(running, sizeBefore, transaction)
      throw error
    }
    const { warnings } = transaction
    await transaction.commit()
    return warnings
  }

  async #goBackTo(running: Config, size: number, transaction: ReloadTransaction): Promise<void> {
    const { prepareProcess, config, inheritedSockets, log } = this.#options
    for (const warning of inheritedSockets.change(config(), running)) log.warn('CONFIG_RELOAD', { warning })
    try {
      await prepareProcess(running)
    } catch (error) {
      log.error('CONFIG_RELOAD', { status: 'failed', error: describeFailure(error).message })
    }
    this.#use(running, size)
    await transaction.rollback()
    await this.#configureWorkers()
  }

  #use(config: Config, size: number): void {
    const { setConfig, fleet } = this.#options
    setConfig(config)
    fleet.resize(size)
  }

  async #configureWorkers(): Promise<void> {
    const { fleet, config } = this.#options
    await fleet.broadcast({ type: 'configure', config: toWorkerConfig(config()) })
  }
}

function describeFailure(error: unknown): ReloadFailure {
  if (!(error instanceof ConfigErrors))
    return { status: 'error', message: describeWithHint(error), errors: [] }
  const errors = error.issues.filter(({ severity }) => severity === 'error')
  return { status: 'error', message: 'the configuration is invalid; nothing has changed', errors }
}

function fieldsOf(issue: LocatedIssue): LogFields {
  const { code, path, message, hint } = issue
  return { place: placeOf(issue), code, ...(path === '' ? {} : { key: path }), error: message, hint }
}

/** Warns once about each changed setting that only a full restart applies. */
export class RestartWarnings {
  /** The value last warned about, by key. */
  readonly #warned = new Map<string, unknown>()

  /**
   * Returns the warnings that are due now.
   * @param waiting every key that differs from the running configuration, with its new value
   */
  take(waiting: ReadonlyMap<string, unknown>): string[] {
    for (const key of this.#warned.keys()) if (!waiting.has(key)) this.#warned.delete(key)
    const fresh = [...waiting].filter(
      ([key, value]) => !this.#warned.has(key) || this.#warned.get(key) !== value,
    )
    for (const [key, value] of fresh) this.#warned.set(key, value)
    return fresh.map(([key]) => `${key} takes effect after a full restart`)
  }
}
