// One reload, as the certificates see it: listeners that are new or changed get managers of their own beside
// the old ones, and what these have is served. Only when the reload has succeeded do the old ones end and the
// new ones begin to renew; until then all of it can be taken back, whatever the files hold by now.
import { assertNever } from '@reverse-proxy/shared/assert-never'
import type { Listener } from '@reverse-proxy/shared/config/config'
import type { ConfigChange } from '@reverse-proxy/shared/config/split'
import { messageOf } from '@reverse-proxy/shared/error-text'
import type { PushedCertificate } from '@reverse-proxy/shared/ipc/messages'
import type { Log } from '@reverse-proxy/shared/log-fields'
import type { CertificateManager } from '../manager.ts'
import type { ServedCertificates } from './served-payloads.ts'

export interface ManagedListener {
  readonly listener: Listener
  readonly manager: CertificateManager
}

export interface ReloadTransactionOptions {
  readonly log: Log
  /** By id. */
  readonly managed: Map<string, ManagedListener>
  readonly served: ServedCertificates
  readonly create: (listener: Listener) => CertificateManager
  /** How long the orders of this reload wait for the next. */
  readonly pauseMs: () => number
  /** Has it renew, and at first order, in the background. */
  readonly begin: (manager: CertificateManager, pauseMs: number) => void
  /** Nothing is left of a listener. */
  readonly forget: (listenerId: string) => void
}

interface Successor extends ManagedListener {
  readonly predecessor: CertificateManager | undefined
  /** The certificates that the listener served when the manager last looked. */
  seen: readonly PushedCertificate[] | undefined
  /** The listener served something before the reload. */
  readonly wasServing: boolean
  /** It has published something. */
  isServing: boolean
}

export class ReloadTransaction {
  readonly #options: ReloadTransactionOptions
  readonly #successors: readonly Successor[]
  readonly #removed: readonly Listener[]

  private constructor(options: ReloadTransactionOptions, { added, kept, removed }: ConfigChange) {
    const { managed, served, create } = options
    const changed = kept.filter((listener) => needsNewManager(managed.get(listener.id)?.listener, listener))
    this.#options = options
    this.#removed = removed
    this.#successors = [...added, ...changed].map((listener) => {
      const predecessor = managed.get(listener.id)?.manager
      return {
        listener,
        manager: create(listener),
        predecessor,
        seen: served.of(listener.id),
        wasServing: served.has(listener.id),
        isServing: false,
      }
    })
  }

  /** Reads what the new managers need, and changes nothing. Throws as CertificateManager.load does. */
  static async prepare(options: ReloadTransactionOptions, change: ConfigChange): Promise<ReloadTransaction> {
    const handover = new ReloadTransaction(options, change)
    try {
      await Promise.all(handover.#successors.map(async (successor) => await handover.#load(successor)))
    } catch (error) {
      await handover.undo()
      throw error
    }
    return handover
  }

  /** Serves what the new managers have. Throws ProxyError CERTIFICATE or CACHE: then there is only `undo`. */
  async install(): Promise<void> {
    for (const successor of this.#successors) await this.#serve(successor)
  }

  /** The old managers go on, and what they have is served again. Never rejects. */
  async undo(): Promise<void> {
    const { managed, served, forget } = this.#options
    await Promise.allSettled(this.#successors.map(async ({ manager }) => await manager.close()))
    for (const { listener, isServing, wasServing } of this.#successors) {
      const predecessor = managed.get(listener.id)
      if (predecessor === undefined) forget(listener.id)
      else if (isServing) {
        const { manager } = predecessor
        const publishing = served.publish(
          listener.id,
          manager.needsOrder() && !wasServing ? [] : manager.current(),
        )
        await publishing.catch((error: unknown) => this.#report(listener, error))
      }
    }
  }

  /** The old managers end, the new ones take their places: missing names are ordered soon. Never rejects. */
  async complete(): Promise<void> {
    const { managed, served, forget } = this.#options
    const pauseMs = this.#successors.length === 0 ? 0 : this.#options.pauseMs()
    const ending = [...this.#removed, ...this.#successors.map(({ listener }) => listener)]
    await Promise.allSettled(ending.map(async ({ id }) => await managed.get(id)?.manager.close()))
    const staying = new Set(this.#successors.map(({ listener }) => listener.id))
    for (const { id } of this.#removed) if (!staying.has(id)) forget(id)
    for (const successor of this.#successors) {
      const { listener, manager } = successor
      managed.set(listener.id, { listener, manager })
      if (served.of(listener.id) !== successor.seen)
        await this.#serve(successor).catch((error: unknown) => this.#report(listener, error))
      this.#options.begin(manager, pauseMs)
    }
  }

  /** With nothing of its own yet, say from another CA, it lets what was there serve on. */
  async #serve(successor: Successor): Promise<void> {
    const { served } = this.#options
    const { listener, manager } = successor
    // The old manager may have saved and published what is newer meanwhile.
    while (served.of(listener.id) !== successor.seen) {
      successor.seen = served.of(listener.id)
      await this.#load(successor)
    }
    const certificates = manager.current()
    if (certificates.length === 0) return
    // An expired certificate in service stays; no listener starts with one.
    if (manager.needsOrder() && !served.has(listener.id)) return
    successor.isServing = true
    successor.seen = certificates
    await served.publish(listener.id, certificates)
  }

  async #load({ manager, predecessor }: Successor): Promise<void> {
    await manager.load(predecessor)
  }

  #report(listener: Listener, error: unknown): void {
    const reason = messageOf(error)
    this.#options.log.error('CERT_FAILED', { listener: listener.id, error: reason })
  }
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
  return JSON.stringify(sites.flatMap(({ hosts }) => hosts))
}
