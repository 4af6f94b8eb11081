// The certificates of all listeners with TLS: which manager looks after which, and what a worker that starts
// now is given. Takes part in a reload; how a certificate comes about is its manager's.
import { setTimeout as sleep } from 'node:timers/promises'
import type { Config, TlsListener } from '@reverse-proxy/shared/config/config'
import { nameCovers } from '@reverse-proxy/shared/config/host-name'
import { hasTls } from '@reverse-proxy/shared/config/sites'
import type { ConfigChange } from '@reverse-proxy/shared/config/split'
import { messageOf } from '@reverse-proxy/shared/error-text'
import { ProxyError } from '@reverse-proxy/shared/errors'
import type {
  ArmedChallenge,
  ListenerCertificates,
  ListenerChallenges,
} from '@reverse-proxy/shared/ipc/messages'
import type { Broadcast } from '../../workers/handle.ts'
import { RetryLaterError } from '../renewal/order-trigger.ts'
import { CertificateCounts } from '../status.ts'
import type { ManagedListener } from './reload-transaction.ts'
import { ReloadTransaction } from './reload-transaction.ts'
import type { CertificateServices } from '../services.ts'
import { openFileStorage } from '../storage/file-storage.ts'
import type { StorageOpener } from '../storage/storage.ts'
import { createCertificateJobs } from '../crypto/jobs.ts'
import type { CertificateManager } from '../manager.ts'
import { AcmeManager } from '../acme/manager.ts'
import { InternalManager } from '../internal/manager.ts'
import { ManualManager } from '../manual/manager.ts'
import { assertNever } from '@reverse-proxy/shared/assert-never'
import type { ReloadPause } from './reload-transaction.ts'
import { pauseAfterReload } from './reload-transaction.ts'
import { ServedPayloads } from './served-payloads.ts'
import type { ListenerStatus, ManagerStatus } from '../status.ts'

/** Longer than a worker takes to boot. */
const ARM_TRIES = 100
const ARM_PAUSE_MS = 200
/** How long a start or a reload waits for certificates to load. One that waits for a lock must not delay the others. */
const LOAD_PATIENCE_MS = 5_000

export interface CertificateRegistryOptions extends Pick<CertificateServices, 'log' | 'clock' | 'progress'> {
  readonly stateDir: string
  readonly broadcast: Broadcast
  /** A listener has begun to serve, or its first attempt has failed. */
  readonly onSettled: () => void
}

export class CertificateRegistry {
  readonly #options: CertificateRegistryOptions
  readonly #jobs = createCertificateJobs()
  readonly #host: CertificateServices & StorageOpener
  readonly #counts = new CertificateCounts()
  readonly #managed = new Map<string, ManagedListener>()
  readonly #served: ServedPayloads
  readonly #challenges = new Map<string, readonly ArmedChallenge[]>()
  /** Loads under way, by manager. */
  readonly #loading = new Map<CertificateManager, Promise<void>>()
  #isStarted = false
  #isClosed = false
  /** Listeners that are being loaded, or have no certificate and whose first attempt has not ended. */
  #unsettled = 0
  /** The first that came of such an attempt. */
  #firstError: unknown
  /** After the last reload that changed certificates. */
  #pause: ReloadPause | undefined

  constructor(options: CertificateRegistryOptions) {
    this.#options = options
    const { broadcast, log } = options
    this.#served = new ServedPayloads({ log, broadcast })
    this.#host = {
      ...options,
      counts: this.#counts,
      jobs: this.#jobs,
      openStorage: openFileStorage,
      publish: async (id, certificates) => await this.#served.publish(id, certificates),
      arm: async (id, challenges) => await this.#arm(id, challenges),
    }
  }

  /** The state that a newly booted worker starts with. */
  get certificates(): readonly ListenerCertificates[] {
    return this.#served.all
  }

  get challenges(): readonly ListenerChallenges[] {
    return [...this.#challenges].map(([listenerId, challenges]) => ({ listenerId, challenges }))
  }

  get statuses(): readonly ListenerStatus[] {
    return this.#all().map((manager) => this.#statusOf(manager))
  }

  /** How many listeners have a certificate. */
  get serving(): number {
    return this.#all().filter(({ listenerId }) => this.#served.has(listenerId)).length
  }

  /** How many have none yet: they answer challenges only. */
  get waiting(): number {
    return this.#managed.size - this.serving
  }

  /** Every listener serves, or its first attempt has failed. */
  get isSettled(): boolean {
    return this.#unsettled === 0
  }

  /** Why nothing is served, and none of the listeners is about to change that; undefined where that is not so. */
  get hopelessness(): unknown {
    if (this.serving > 0 || this.#unsettled > 0) return undefined
    if (this.#firstError !== undefined) return this.#firstError
    const obstacles = this.#all().map((manager) => manager.obstacle())
    return obstacles.includes(undefined) ? undefined : obstacles[0]
  }

  /** Every name that is configured is served. */
  get isComplete(): boolean {
    return this.#all().every((manager) => manager.isComplete() && !manager.needsOrder())
  }

  /**
   * Reads what is cached or configured, and waits a while for it; what takes longer is served when it is there. Never
   * rejects: what cannot be read concerns its listener, and is said by `start`.
   */
  async load({ listeners }: Config): Promise<void> {
    const isLate = { now: false }
    const loads = listeners.filter(hasTls).map((listener) => {
      const manager = this.#create(listener)
      this.#managed.set(listener.id, { listener, manager })
      return this.#finish(manager, manager.load(), isLate)
    })
    await this.#waitFor(loads)
    isLate.now = true
  }

  /** Begins to order missing certificates and to renew all others, in the background. */
  start(): void {
    this.#isStarted = true
    for (const manager of this.#all()) if (!this.#loading.has(manager)) this.#begin(manager)
  }

  /** Begins a reload, as ReloadTransaction.prepare does. */
  async prepare(change: ConfigChange): Promise<ReloadTransaction> {
    const options = {
      log: this.#options.log,
      managed: this.#managed,
      served: this.#served,
      create: (listener: TlsListener) => this.#create(listener),
      begin: (manager: CertificateManager, pauseMs: number) => this.#begin(manager, pauseMs),
      waitFor: async (loads: readonly Promise<void>[]) => await this.#waitFor(loads),
      finish: (manager: CertificateManager, loading: Promise<void>) =>
        void this.#finish(manager, loading, { now: true }),
      forget: (listenerId: string) => this.#forget(listenerId),
      pauseMs: () => {
        this.#pause = pauseAfterReload(this.#pause, this.#options.clock.timerMs())
        return this.#pause.pauseMs
      },
    }
    return await ReloadTransaction.prepare(options, change)
  }

  /**
   * Renews every certificate that has `name`, and resolves with their state afterwards, when they are
   * published; empty: none has it. Throws as CertificateManager.renew does.
   */
  async renew(name: string): Promise<readonly ListenerStatus[]> {
    const having = this.#all().filter((manager) => hasName(manager.status(), name))
    await Promise.all(having.map(async (manager) => await manager.renew()))
    return having.map((manager) => this.#statusOf(manager))
  }

  /** Stops background work, aborts orders, releases locks. Idempotent. */
  async close(): Promise<void> {
    this.#isClosed = true
    await Promise.allSettled(this.#all().map(async (manager) => await manager.close()))
    await Promise.all(this.#loading.values())
    await this.#jobs.close()
  }

  #all(): CertificateManager[] {
    return [...this.#managed.values()].map(({ manager }) => manager)
  }

  #statusOf(manager: CertificateManager): ListenerStatus {
    const { listenerId, loop } = manager
    return { ...manager.status(), alarm: loop.alarm, counts: this.#counts.countsOf(listenerId) }
  }

  #create(listener: TlsListener): CertificateManager {
    return createManager(listener, this.#options.stateDir, this.#host)
  }

  /** Waits for all of `loads`, but no longer than LOAD_PATIENCE_MS. Rejects if one fails by then. */
  async #waitFor(loads: readonly Promise<void>[]): Promise<void> {
    const done = new AbortController()
    const patience = this.#options.clock.sleep(LOAD_PATIENCE_MS, done.signal)
    try {
      await Promise.race([Promise.all(loads), patience])
    } finally {
      done.abort()
    }
  }

  /** Serves what a manager has loaded and, once started, begins to renew it. Never rejects. */
  async #finish(
    manager: CertificateManager,
    loading: Promise<void>,
    isLate: { readonly now: boolean },
  ): Promise<void> {
    this.#unsettled++
    const finishing = this.#finishLoading(manager, loading, isLate)
    this.#loading.set(manager, finishing)
    await finishing
  }

  async #finishLoading(
    manager: CertificateManager,
    loading: Promise<void>,
    isLate: { readonly now: boolean },
  ): Promise<void> {
    const { listenerId } = manager
    try {
      await loading.catch(() => {})
      const isCurrent = this.#managed.get(listenerId)?.manager === manager
      if (this.#isClosed || !isCurrent) return
      // One that has expired is not taken into service.
      if (!manager.needsOrder()) {
        if (isLate.now) await this.#served.publish(listenerId, manager.current())
        else this.#served.set(listenerId, manager.current())
      }
      if (this.#isStarted) this.#begin(manager)
    } catch (error) {
      this.#options.log.error('CERT_FAILED', { listener: listenerId, error: messageOf(error) })
    } finally {
      this.#loading.delete(manager)
      this.#unsettled--
      this.#options.onSettled()
    }
  }

  /** One listener's background life; without a certificate it begins with an attempt, unless that has to wait. */
  #begin(manager: CertificateManager, pauseMs?: number): void {
    const isMissing = manager.needsOrder()
    const obstacle = isMissing ? manager.obstacle() : undefined
    manager.start(pauseMs)
    if (!isMissing) return
    if (obstacle instanceof RetryLaterError)
      this.#options.log.error('CERT_FAILED', { listener: manager.listenerId, error: messageOf(obstacle) })
    if (obstacle !== undefined) return
    this.#unsettled++
    manager.loop.firstAttempt
      .catch((error: unknown) => {
        this.#firstError ??= error
      })
      .finally(() => {
        this.#unsettled--
        this.#options.onSettled()
      })
  }

  #forget(listenerId: string): void {
    this.#managed.delete(listenerId)
    this.#served.forget(listenerId)
    this.#challenges.delete(listenerId)
  }

  /** Resolves when every living worker has acknowledged, at least one: only then may the CA be told. */
  async #arm(listenerId: string, challenges: readonly ArmedChallenge[]): Promise<void> {
    this.#challenges.set(listenerId, challenges)
    for (let tries = 1; ; tries++) {
      const outcomes = await this.#options.broadcast({
        type: 'challenges',
        listener: { listenerId, challenges },
      })
      for (const outcome of outcomes) {
        if (outcome.result === 'refused')
          throw new ProxyError('ACME', `a worker cannot answer the challenge: ${outcome.error}`)
      }
      if (challenges.length === 0 || outcomes.some(({ result }) => result === 'done')) return
      // The worker has died; its successor is booting.
      if (tries === ARM_TRIES) throw new ProxyError('ACME', 'there is no worker to answer the challenge')
      await sleep(ARM_PAUSE_MS)
    }
  }
}

function hasName({ certificates, missing }: ManagerStatus, name: string): boolean {
  const served = certificates.flatMap(({ names }) => names)
  return [...served, ...missing].some((covering) => nameCovers(covering, name))
}

function createManager(
  listener: TlsListener,
  stateDir: string,
  host: CertificateServices & StorageOpener,
): CertificateManager {
  const { tls } = listener
  switch (tls.mode) {
    case 'acme':
      return new AcmeManager(listener.id, tls, host)
    case 'manual':
      return new ManualManager(listener.id, tls, host)
    case 'internal':
      return new InternalManager(
        listener.id,
        listener.sites.flatMap(({ hosts }) => hosts),
        stateDir,
        host,
      )
    default:
      return assertNever(tls)
  }
}
