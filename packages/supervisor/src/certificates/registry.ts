// The certificates of all listeners: which manager looks after which, and what a worker that starts
// now is given. Takes part in a reload; how a certificate comes about is its manager's.
import { assertNever } from '@reverse-proxy/shared/assert-never'
import type { Config, Listener } from '@reverse-proxy/shared/config/config'
import { nameCovers } from '@reverse-proxy/shared/config/host-name'
import type { ConfigChange } from '@reverse-proxy/shared/config/split'
import type { Clock } from '@reverse-proxy/shared/clock'
import { ProxyError } from '@reverse-proxy/shared/errors'
import type {
  ArmedChallenge,
  ListenerCertificates,
  ListenerChallenges,
  PushedCertificate,
} from '@reverse-proxy/shared/ipc/messages'
import type { Broadcast } from '../workers/handle.ts'
import { CountingLog } from './event-counts.ts'
import type { CertificateHost } from './host.ts'
import { createCertificateJobs } from './jobs.ts'
import type { CertificateManager } from './manager.ts'
import { createCertificateManager } from './manager.ts'
import type { LoopView } from './renewal-watch.ts'
import { RenewalWatch } from './renewal-watch.ts'
import { withTimers } from './sleep-until.ts'
import type { ListenerStatus, ManagerStatus } from './status.ts'

export interface CertificateRegistryOptions extends Pick<CertificateHost, 'log' | 'progress'> {
  readonly clock: Clock
  readonly stateDir: string
  readonly broadcast: Broadcast
}

export class CertificateRegistry {
  readonly #options: CertificateRegistryOptions
  readonly #jobs = createCertificateJobs()
  readonly #host: CertificateHost
  readonly #log: CountingLog
  readonly #watch: RenewalWatch
  readonly #managers = new Map<string, CertificateManager>()
  readonly #listeners = new Map<string, Listener>()
  readonly #certificates = new Map<string, readonly PushedCertificate[]>()
  readonly #challenges = new Map<string, readonly ArmedChallenge[]>()

  constructor(options: CertificateRegistryOptions) {
    this.#options = options
    this.#log = new CountingLog(options.log)
    const clock = withTimers(options.clock)
    this.#watch = new RenewalWatch({ clock, log: this.#log, loops: () => this.#loops() })
    this.#host = {
      ...options,
      log: this.#log,
      clock,
      jobs: this.#jobs,
      publish: async (id, certificates) => await this.#publish(id, certificates),
      arm: async (id, challenges) => await this.#arm(id, challenges),
    }
  }

  /** What a worker that boots now begins with. */
  get certificates(): readonly ListenerCertificates[] {
    return [...this.#certificates].map(([listenerId, certificates]) => ({ listenerId, certificates }))
  }

  get challenges(): readonly ListenerChallenges[] {
    return [...this.#challenges].map(([listenerId, challenges]) => ({ listenerId, challenges }))
  }

  get statuses(): readonly ListenerStatus[] {
    return this.#all().map((manager) => this.#statusOf(manager))
  }

  /** Some listener has nothing that it could serve. */
  get needsOrder(): boolean {
    return this.#all().some((manager) => manager.needsOrder())
  }

  /** Reads what is cached or configured. Throws ProxyError CERTIFICATE or CACHE. */
  async load({ listeners }: Config): Promise<void> {
    await Promise.all(
      listeners.map(async (listener) => {
        const manager = this.#create(listener)
        this.#adopt(listener, manager)
        await manager.load()
        this.#certificates.set(listener.id, manager.current())
      }),
    )
  }

  /** Orders what is missing. Throws as CertificateManager.acquire does. */
  async acquire(signal: AbortSignal): Promise<void> {
    const missing = this.#all().filter((manager) => manager.needsOrder())
    await Promise.all(missing.map(async (manager) => await manager.acquire(signal)))
  }

  /** From now on everything is renewed in the background. */
  start(): void {
    for (const manager of this.#all()) manager.start()
    this.#watch.start()
  }

  /**
   * First half of a reload: reads what the listeners that are new or changed need, and changes nothing.
   * Throws as `load` does; else `commit` or `discard` must be called with what it gives.
   */
  async prepare({ added, kept }: ConfigChange): Promise<readonly PreparedListener[]> {
    const changed = kept.filter((listener) => needsNewManager(this.#listeners.get(listener.id), listener))
    const prepared = [...added, ...changed].map((listener) => ({
      listener,
      manager: this.#create(listener),
      served: this.#certificates.get(listener.id),
    }))
    try {
      await Promise.all(prepared.map(async ({ manager }) => await manager.load()))
    } catch (error) {
      await this.discard(prepared)
      throw error
    }
    return prepared
  }

  async discard(prepared: readonly PreparedListener[]): Promise<void> {
    await Promise.allSettled(prepared.map(async ({ manager }) => await manager.close()))
  }

  /** Second half: the new managers take over from the old, which end; missing names are ordered at once. */
  async commit(
    prepared: readonly PreparedListener[],
    removed: readonly Listener[],
  ): Promise<'current' | 'pending'> {
    const superseded = [...removed, ...prepared.map(({ listener }) => listener)].map(({ id }) =>
      this.#managers.get(id),
    )
    await Promise.allSettled(superseded.map(async (manager) => await manager?.close()))
    const stays = new Set(prepared.map(({ listener }) => listener.id))
    for (const { id } of removed.filter((listener) => !stays.has(listener.id))) this.#forget(id)
    for (const one of prepared) {
      const { listener, manager } = one
      this.#adopt(listener, manager)
      // With nothing of its own yet, say from another CA, it lets what was there serve on.
      const hasNews = (await this.#isUpToDate(one)) && manager.current().length > 0
      if (hasNews) await this.#publish(listener.id, manager.current())
      manager.start()
    }
    return this.#all().every((manager) => manager.isComplete()) ? 'current' : 'pending'
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
    await this.#watch.close()
    await Promise.allSettled(this.#all().map(async (manager) => await manager.close()))
    await this.#jobs.close()
  }

  /** A predecessor that was let finish may have saved and published what is newer: that is loaded then. */
  async #isUpToDate({ listener, manager, served }: PreparedListener): Promise<boolean> {
    if (this.#certificates.get(listener.id) === served) return true
    try {
      await manager.load()
      return true
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error)
      this.#options.log.error('CERT_FAILED', { listener: listener.id, error: reason })
      return false
    }
  }

  #all(): CertificateManager[] {
    return [...this.#managers.values()]
  }

  *#loops(): Iterable<readonly [listenerId: string, loop: LoopView]> {
    for (const { listenerId, loop } of this.#all()) yield [listenerId, loop]
  }

  #statusOf(manager: CertificateManager): ListenerStatus {
    const { listenerId } = manager
    const alarm = this.#watch.alarmOf(listenerId)
    return { ...manager.status(), alarm, counts: this.#log.countsOf(listenerId) }
  }

  #create(listener: Listener): CertificateManager {
    return createCertificateManager(listener, this.#options.stateDir, this.#host)
  }

  #adopt(listener: Listener, manager: CertificateManager): void {
    this.#managers.set(listener.id, manager)
    this.#listeners.set(listener.id, listener)
  }

  #forget(listenerId: string): void {
    this.#managers.delete(listenerId)
    this.#listeners.delete(listenerId)
    this.#certificates.delete(listenerId)
    this.#challenges.delete(listenerId)
  }

  async #publish(listenerId: string, certificates: readonly PushedCertificate[]): Promise<void> {
    this.#certificates.set(listenerId, certificates)
    const outcomes = await this.#options.broadcast({
      type: 'certificates',
      listener: { listenerId, certificates },
    })
    for (const outcome of outcomes) {
      if (outcome.result !== 'refused') continue
      const { slot: worker, error } = outcome
      this.#log.error('CERT_FAILED', { listener: listenerId, worker, error })
    }
  }

  async #arm(listenerId: string, challenges: readonly ArmedChallenge[]): Promise<void> {
    this.#challenges.set(listenerId, challenges)
    const outcomes = await this.#options.broadcast({
      type: 'challenges',
      listener: { listenerId, challenges },
    })
    for (const outcome of outcomes) {
      if (outcome.result === 'refused')
        throw new ProxyError('ACME', `a worker cannot answer the challenge: ${outcome.error}`)
    }
  }
}

export interface PreparedListener {
  readonly listener: Listener
  readonly manager: CertificateManager
  /** What the listener served when `manager` was loaded. */
  readonly served: readonly PushedCertificate[] | undefined
}

function hasName({ certificates, missing }: ManagerStatus, name: string): boolean {
  const served = certificates.flatMap(({ names }) => names)
  return [...served, ...missing].some((covering) => nameCovers(covering, name))
}

function needsNewManager(before: Listener | undefined, after: Listener): boolean {
  if (before === undefined) return true
  switch (after.tls.mode) {
    case 'manual':
      // Its files may hold something new under the same names.
      return true
    case 'internal':
      return hostsOf(before) !== hostsOf(after)
    case 'acme':
      return JSON.stringify(before.tls) !== JSON.stringify(after.tls)
    default:
      return assertNever(after.tls)
  }
}

function hostsOf({ sites }: Listener): string {
  return JSON.stringify(sites.map(({ host }) => host))
}
