// Reload and restart while serving: the file is read and checked as a whole, then applied, or
// nothing changes. One at a time; whoever asked is told what became of it.
import type { Clock } from '@reverse-proxy/shared/clock'
import type { Config } from '@reverse-proxy/shared/config/config'
import type { ConfigChange } from '@reverse-proxy/shared/config/split'
import { afterReload, compareConfigs } from '@reverse-proxy/shared/config/split'
import { describeWithHint } from '@reverse-proxy/shared/errors'
import type { Log, LogFields } from '@reverse-proxy/shared/log-fields'
import { siteCount, workerCount } from './config/counts.ts'
import type { ReloadReport } from './management/reports/reports.ts'
import type { Handover } from './certificates/reload-transaction.ts'
import type { CertificateRegistry } from './certificates/registry.ts'
import { ConfigErrors, type PlacedIssue } from './config/config-errors.ts'
import type { LoadedConfig } from './config/load.ts'
import { describeIssue, placeOf } from './config/report.ts'
import { toWorkerConfig } from './config/worker-config.ts'
import { RestartWarnings } from './config/restart-warnings.ts'
import type { InheritedSockets } from './systemd/inherited-sockets.ts'
import type { Fleet } from './workers/fleet.ts'

/** reload: fresh workers only if something needs them. restart: the file is not read. replace: both (SIGHUP). */
export type ReloadKind = 'reload' | 'restart' | 'replace'

export type ReloadResult = ({ readonly status: 'ok' } & ReloadReport) | ReloadFailure

interface ReloadFailure {
  readonly status: 'error'
  readonly message: string
  /** Everything that is wrong with the configuration, where that is the reason. */
  readonly errors: readonly PlacedIssue[]
}

/** How the last one went. */
export interface ReloadOutcome {
  readonly atMs: number
  readonly failure: ReloadFailure | undefined
}

interface WantedWorkers {
  readonly size: number
  /** Even those that there are already. */
  readonly freshWorkers: boolean
}

export interface ReloadsOptions {
  readonly clock: Clock
  readonly log: Log
  readonly registry: CertificateRegistry
  readonly fleet: Fleet
  /** Reads the configuration again. Throws ConfigErrors. */
  readonly load: () => Promise<LoadedConfig>
  /** Throws ProxyError; nothing has changed then. */
  readonly before: (next: Config) => Promise<void>
  readonly inheritedSockets: InheritedSockets
  readonly current: () => Config
  readonly replace: (config: Config) => void
}

export class Reloads {
  readonly #options: ReloadsOptions
  #last: Promise<unknown> = Promise.resolve()
  /** Asked for and not begun yet. */
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
   * Waits for those before it; never rejects. Resolves when the last fresh worker is ready. One that waits already
   * will read the file as it is then: who asks for the same gets that one's result, and a hundred SIGHUPs are two rolls.
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

  async #apply(kind: ReloadKind): Promise<Extract<ReloadResult, { status: 'ok' }>> {
    const { current, fleet, load } = this.#options
    const running = current()
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
    // SIGTTIN and SIGTTOU change the number until the file is read again.
    const size = kind === 'restart' ? fleet.size : workerCount(next)
    await this.#switchTo(next, change, { size, freshWorkers })
    warnings.push(...this.#options.inheritedSockets.change(running, next))
    const certificates = this.#options.registry.isComplete ? 'current' : 'pending'
    const sites = siteCount(next)
    return { status: 'ok', sites, workers: freshWorkers ? 'replaced' : 'kept', certificates, warnings }
  }

  /** All of it, or nothing: what was loaded before is used again then, and the old workers stay. */
  async #switchTo(next: Config, change: ConfigChange, { size, freshWorkers }: WantedWorkers): Promise<void> {
    const { registry, fleet, before, current } = this.#options
    const running = current()
    const sizeBefore = fleet.size
    const handover = await registry.prepare(change)
    try {
      await before(next)
    } catch (error) {
      await handover.undo()
      throw error
    }
    try {
      // In place: certificates, sites, limits. What needs fresh workers takes hold with them.
      this.#use(next, size)
      await handover.install()
      await this.#configureWorkers()
      if (freshWorkers) await fleet.replace()
      else if (fleet.size > sizeBefore) await fleet.fill()
    } catch (error) {
      await this.#goBackTo(running, sizeBefore, handover)
      throw error
    }
    await handover.complete()
  }

  async #goBackTo(running: Config, size: number, handover: Handover): Promise<void> {
    const { before, current, inheritedSockets, log } = this.#options
    for (const warning of inheritedSockets.change(current(), running)) log.warn('CONFIG_RELOAD', { warning })
    try {
      await before(running)
    } catch (error) {
      log.error('CONFIG_RELOAD', { status: 'failed', error: describeFailure(error).message })
    }
    this.#use(running, size)
    await handover.undo()
    await this.#configureWorkers()
  }

  #use(config: Config, size: number): void {
    const { replace, fleet } = this.#options
    replace(config)
    fleet.resize(size)
  }

  async #configureWorkers(): Promise<void> {
    const { fleet, current } = this.#options
    await fleet.broadcast({ type: 'configure', config: toWorkerConfig(current()) })
  }
}

function describeFailure(error: unknown): ReloadFailure {
  if (!(error instanceof ConfigErrors))
    return { status: 'error', message: describeWithHint(error), errors: [] }
  const errors = error.issues.filter(({ severity }) => severity === 'error')
  return { status: 'error', message: 'the configuration is invalid; nothing has changed', errors }
}

function fieldsOf(issue: PlacedIssue): LogFields {
  const { code, path, message, hint } = issue
  return { place: placeOf(issue), code, ...(path === '' ? {} : { key: path }), error: message, hint }
}
