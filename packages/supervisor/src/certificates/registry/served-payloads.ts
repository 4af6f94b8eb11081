// The certificates that each listener serves, in running workers and in those that boot now. A certificate that no
// worker can load is not kept, or every later worker would fail on it.
import { ProxyError } from '@reverse-proxy/shared/errors'
import type { ListenerCertificates, PushedCertificate } from '@reverse-proxy/shared/ipc/messages'
import type { Log } from '@reverse-proxy/shared/log-fields'
import type { Broadcast } from '../../workers/handle.ts'

export interface ServedPayloadsOptions {
  readonly log: Log
  readonly broadcast: Broadcast
}

export class ServedPayloads {
  readonly #options: ServedPayloadsOptions
  readonly #byListener = new Map<string, readonly PushedCertificate[]>()

  constructor(options: ServedPayloadsOptions) {
    this.#options = options
  }

  /** The state that a newly booted worker starts with. */
  get all(): readonly ListenerCertificates[] {
    return [...this.#byListener].map(([listenerId, certificates]) => ({ listenerId, certificates }))
  }

  /** The very list that was last set or published. */
  of(listenerId: string): readonly PushedCertificate[] | undefined {
    return this.#byListener.get(listenerId)
  }

  /** The listener serves something; without, its workers answer challenges only. */
  has(listenerId: string): boolean {
    return (this.of(listenerId)?.length ?? 0) > 0
  }

  /** Before there are workers. */
  set(listenerId: string, certificates: readonly PushedCertificate[]): void {
    this.#byListener.set(listenerId, certificates)
  }

  forget(listenerId: string): void {
    this.#byListener.delete(listenerId)
  }

  /**
   * Replaces what a listener serves, at once for workers that boot; resolves when every living worker has replied.
   * Throws ProxyError CERTIFICATE if all of them reject it: the previous certificates stay in service then.
   */
  async publish(listenerId: string, certificates: readonly PushedCertificate[]): Promise<void> {
    const before = this.#byListener.get(listenerId)
    this.#byListener.set(listenerId, certificates)
    const outcomes = await this.#options.broadcast({
      type: 'certificates',
      listener: { listenerId, certificates },
    })
    const rejections = outcomes.filter((outcome) => outcome.result === 'refused')
    for (const { slot: worker, error } of rejections) {
      this.#options.log.error('CERT_FAILED', { listener: listenerId, worker, error })
    }
    const [rejection] = rejections
    if (rejection === undefined || outcomes.some(({ result }) => result === 'done')) return
    if (this.#byListener.get(listenerId) === certificates) this.#restore(listenerId, before)
    throw new ProxyError('CERTIFICATE', `no worker can serve it: ${rejection.error}`)
  }

  #restore(listenerId: string, before: readonly PushedCertificate[] | undefined): void {
    if (before === undefined) this.#byListener.delete(listenerId)
    else this.#byListener.set(listenerId, before)
  }
}
