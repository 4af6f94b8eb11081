// One reload, as the certificates see it: listeners that are new or changed get managers of their own beside
// the old ones, and what these have is served. Only when the reload has succeeded do the old ones end and the
// new ones begin to renew; until then all of it can be taken back, whatever the files hold by now.
import { assertNever } from '@reverse-proxy/shared/assert-never'
import type { Listener, TlsListener } from '@reverse-proxy/shared/config/config'
import { hasTls } from '@reverse-proxy/shared/config/sites'
import type { ConfigChange } from '@reverse-proxy/shared/config/split'
import { messageOf } from '@reverse-proxy/shared/error-text'
import type { PushedCertificate } from '@reverse-proxy/shared/ipc/messages'
import type { Log } from '@reverse-proxy/shared/log-fields'
import type { CertificateManager } from '../manager.ts'
import type { ServedPayloads } from './served-payloads.ts'
import { MINUTE_MS, SECOND_MS } from '@reverse-proxy/shared/time-units'

export interface ManagedListener {
  readonly listener: TlsListener
  readonly manager: CertificateManager
}

export interface ReloadTransactionOptions {
  readonly log: Log
  /** By id. */
  readonly managed: Map<string, ManagedListener>
  readonly served: ServedPayloads
  readonly create: (listener: TlsListener) => CertificateManager
  /** Waits for the loads, with a limit. Rejects if one of them has failed by then. */
  readonly waitFor: (loads: readonly Promise<void>[]) => Promise<void>
  /** Takes over the load of a manager, and serves and begins when that has ended. */
  readonly finish: (manager: CertificateManager, loading: Promise<void>) => void
  /** How long the orders of this reload wait for the next. */
  readonly pauseMs: () => number
  /** Has it renew, and at first order, in the background. */
  readonly begin: (manager: CertificateManager, pauseMs: number) => void
  /** Nothing is left of a listener. */
  readonly forget: (listenerId: string) => void
}

interface Replacement extends ManagedListener {
  readonly previous: CertificateManager | undefined
  /** The certificates that the listener served when the manager last looked. */
  seen: readonly PushedCertificate[] | undefined
  /** The listener served something before the reload. */
  readonly wasServing: boolean
  /** It has published something. */
  isServing: boolean
  /** Its first load, while that goes on. */
  loading: Promise<void> | undefined
}

export class ReloadTransaction {
  readonly #options: ReloadTransactionOptions
  readonly #replacements: readonly Replacement[]
  readonly #removed: readonly Listener[]

  private constructor(options: ReloadTransactionOptions, { added, kept, removed }: ConfigChange) {
    const { managed, served, create } = options
    const changed = kept
      .filter(hasTls)
      .filter((listener) => needsNewManager(managed.get(listener.id)?.listener, listener))
    this.#options = options
    this.#removed = removed
    this.#replacements = [...added.filter(hasTls), ...changed].map((listener) => ({
      listener,
      manager: create(listener),
      previous: managed.get(listener.id)?.manager,
      seen: served.of(listener.id),
      wasServing: served.has(listener.id),
      isServing: false,
      loading: undefined,
    }))
  }

  /**
   * Reads what the new managers need, and changes nothing. One that takes long, waiting for a lock say, goes on in the
   * background. Throws as CertificateManager.load does.
   */
  static async prepare(options: ReloadTransactionOptions, change: ConfigChange): Promise<ReloadTransaction> {
    const transaction = new ReloadTransaction(options, change)
    try {
      await options.waitFor(transaction.#replacements.map(async (one) => await transaction.#loadFirst(one)))
    } catch (error) {
      await transaction.rollback()
      throw error
    }
    return transaction
  }

  /** For the report of the reload: which listeners do not have their new certificates yet. */
  get warnings(): readonly string[] {
    const late = this.#replacements.filter(({ loading }) => loading !== undefined)
    return late.map(
      ({ listener, wasServing }) =>
        `listener ${listener.id}: its new certificate is not ready, another process may hold the lock; ` +
        (wasServing ? 'the old one is served until it is' : 'it serves as soon as it is'),
    )
  }

  /** Serves what the new managers have. Throws ProxyError CERTIFICATE or CACHE: then there is only `rollback`. */
  async apply(): Promise<void> {
    for (const replacement of this.#replacements) await this.#serve(replacement)
  }

  /** The old managers go on, and what they have is served again. Never rejects. */
  async rollback(): Promise<void> {
    const { managed, served, forget } = this.#options
    const reason = 'the reload has failed'
    await Promise.allSettled(this.#replacements.map(async ({ manager }) => await manager.close(reason)))
    for (const { listener, isServing, wasServing } of this.#replacements) {
      const previous = managed.get(listener.id)
      if (previous === undefined) forget(listener.id)
      else if (isServing) {
        const { manager } = previous
        const publishing = served.publish(
          listener.id,
          manager.needsOrder() && !wasServing ? [] : manager.current(),
        )
        await publishing.catch((error: unknown) => this.#report(listener, error))
      }
    }
  }

  /** The old managers end, the new ones take their places: missing names are ordered soon. Never rejects. */
  async commit(): Promise<void> {
    const { managed, served, forget } = this.#options
    const pauseMs = this.#replacements.length === 0 ? 0 : this.#options.pauseMs()
    const staying = new Set(this.#replacements.map(({ listener }) => listener.id))
    const removed = this.#removed.map(({ id }) => id).filter((id) => !staying.has(id))
    await Promise.allSettled([
      ...removed.map(
        async (id) => await managed.get(id)?.manager.close(`a reload has removed listener ${id}`),
      ),
      ...[...staying].map(
        async (id) => await managed.get(id)?.manager.close(`a reload has changed listener ${id}: try again`),
      ),
    ])
    for (const id of removed) forget(id)
    for (const replacement of this.#replacements) {
      const { listener, manager, loading } = replacement
      managed.set(listener.id, { listener, manager })
      if (loading !== undefined) {
        this.#options.finish(manager, loading)
        continue
      }
      if (!replacement.isServing || served.of(listener.id) !== replacement.seen)
        await this.#serve(replacement).catch((error: unknown) => this.#report(listener, error))
      this.#options.begin(manager, pauseMs)
    }
  }

  /** A manager that has no certificate yet, from another CA say, leaves the old one in service. */
  async #serve(replacement: Replacement): Promise<void> {
    const { served } = this.#options
    const { listener, manager, previous } = replacement
    if (replacement.loading !== undefined) return
    // The old manager may have saved and published a newer one meanwhile.
    while (served.of(listener.id) !== replacement.seen) {
      replacement.seen = served.of(listener.id)
      await manager.load(previous)
    }
    const certificates = manager.current()
    if (certificates.length === 0) return
    // An expired certificate in service stays; no listener starts with one.
    if (manager.needsOrder() && !served.has(listener.id)) return
    replacement.isServing = true
    replacement.seen = certificates
    await served.publish(listener.id, certificates)
  }

  async #loadFirst(replacement: Replacement): Promise<void> {
    const { manager, previous } = replacement
    replacement.loading = manager.load(previous)
    await replacement.loading
    replacement.loading = undefined
  }

  #report(listener: Listener, error: unknown): void {
    const reason = messageOf(error)
    this.#options.log.error('CERT_FAILED', { listener: listener.id, error: reason })
  }
}

function needsNewManager(before: TlsListener | undefined, after: TlsListener): boolean {
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
  return JSON.stringify(sites.flatMap(({ hosts }) => hosts))
}

export interface ReloadPause {
  /** When the reload was, in milliseconds of timers. */
  readonly atMs: number
  readonly pauseMs: number
}

const SHORTEST_MS = 2 * SECOND_MS
/** Reloads that keep coming when an order has begun cut it short: they get ever longer pauses. */
const LONGEST_MS = MINUTE_MS
/** After this much quiet, the next reload is the first again. */
const FORGOTTEN_MS = 2 * MINUTE_MS

/** The pause after a reload at `nowMs`, given the one before it. */
export function pauseAfterReload(previous: ReloadPause | undefined, nowMs: number): ReloadPause {
  const sinceMs = previous === undefined ? Infinity : nowMs - previous.atMs
  if (previous === undefined || sinceMs >= FORGOTTEN_MS) return { atMs: nowMs, pauseMs: SHORTEST_MS }
  const hasBegun = sinceMs >= previous.pauseMs
  return { atMs: nowMs, pauseMs: hasBegun ? Math.min(previous.pauseMs * 2, LONGEST_MS) : previous.pauseMs }
}
