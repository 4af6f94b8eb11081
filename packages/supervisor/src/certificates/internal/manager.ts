// One listener's certificates from the local CA: leaves for all its site hosts, issued when the
// listener starts, kept in state_dir for the next start, renewed in the background.
import { createHash } from 'node:crypto'
import { ProxyError } from '@reverse-proxy/shared/errors'
import type { PushedCertificate } from '@reverse-proxy/shared/ipc/messages'
import { ExpiryWatch } from '../renewal/expiry-log.ts'
import type { StorageOpener } from '../storage/storage.ts'
import type { CertificateServices } from '../services.ts'
import type { InternalCaRequest } from './ca.ts'
import { internalCaStorage, loadAuthority } from './ca.ts'
import { dueAtMs, InternalLeaf } from './leaf.ts'
import type { CertificateManager } from '../manager.ts'
import { STOPPING } from '../manager.ts'
import { toPushed } from '../certificate.ts'
import { RenewalLoop } from '../renewal/loop.ts'
import { Retries } from '../renewal/retries.ts'
import type { ManagerStatus } from '../status.ts'
import type { StoredCertificate } from '../certificate.ts'

/** A certificate of thousands of names would be more than a handshake can carry, and each change would renew it all. */
const NAMES_PER_LEAF = 100

export class InternalManager implements CertificateManager {
  readonly listenerId: string
  readonly loop: RenewalLoop
  readonly #hosts: readonly string[]
  readonly #host: CertificateServices
  readonly #ca: InternalCaRequest
  readonly #sources: readonly InternalLeaf[]
  readonly #expiry: ExpiryWatch
  readonly #retries: Retries
  readonly #closing = new AbortController()

  /** One for each source, once loaded. */
  #leaves: readonly StoredCertificate[] = []
  /** Why there are none. */
  #loadError: unknown
  #work: Promise<void> = Promise.resolve()

  constructor(
    listenerId: string,
    hosts: readonly string[],
    stateDir: string,
    host: CertificateServices & StorageOpener,
  ) {
    this.listenerId = listenerId
    this.#hosts = hosts
    this.#host = host
    this.#ca = {
      storage: internalCaStorage(host.openStorage(stateDir)),
      host,
      signal: this.#closing.signal,
      onQuarantined: ({ path, reason }) => {
        host.log.error('CERT_QUARANTINED', { listener: listenerId, path, error: reason })
      },
    }
    const ca = this.#ca
    this.#sources = chunksOf(hosts).map((names, index) => {
      const directoryName = directoryNameOf(listenerId) + (index === 0 ? '' : `-${index + 1}`)
      return new InternalLeaf({ listenerId, hosts: names, directoryName, host, ca })
    })
    this.#expiry = new ExpiryWatch(listenerId, host)
    this.#retries = new Retries(listenerId, host)
    const nextMs = (): number => this.#nextMs()
    const turn = async (demanded: boolean): Promise<boolean> => await this.#turn(demanded)
    const { clock, log } = host
    const { signal } = this.#closing
    this.loop = new RenewalLoop({ listenerId, clock, log, nextMs, turn }, signal)
  }

  async load(): Promise<void> {
    try {
      const authority = await loadAuthority(this.#ca)
      this.#leaves = await Promise.all(this.#sources.map(async (source) => await source.obtain(authority)))
    } catch (error) {
      this.#loadError = error
      throw error
    }
  }

  current(): readonly PushedCertificate[] {
    return this.#leaves.map(toPushed)
  }

  needsOrder(): boolean {
    return this.#leaves.length < this.#sources.length
  }

  obstacle(): unknown {
    return this.#loadError
  }

  isComplete(): boolean {
    return !this.needsOrder()
  }

  status(): ManagerStatus {
    const leaves = this.#leaves
    return {
      listenerId: this.listenerId,
      mode: 'internal',
      certificates: leaves.map(({ facts }) => facts),
      missing: leaves.length === 0 ? this.#hosts : [],
      nextAttemptMs: Math.min(...this.#sources.map((_, index) => this.#dueMs(leaves[index]))),
      renewalWindow: undefined,
      failure: this.#retries.last,
      unsaved: undefined,
    }
  }

  start(): void {
    if (this.needsOrder()) this.#retries.noteFailed(this.#loadError, undefined)
    this.#work = this.loop.run()
  }

  async renew(): Promise<void> {
    await this.loop.demand()
  }

  async close(reason = STOPPING): Promise<void> {
    this.#closing.abort(new ProxyError('CERTIFICATE', reason))
    await this.#work
  }

  #nextMs(): number {
    const dueTimes = this.#sources.map((_, index) => this.#dueMs(this.#leaves[index]))
    const lookTimes = this.#leaves.map(({ facts }) => this.#expiry.nextLookMs(facts))
    return Math.min(...dueTimes, ...lookTimes)
  }

  #dueMs(leaf: StoredCertificate | undefined): number {
    return Math.max(leaf === undefined ? 0 : dueAtMs(leaf), this.#retries.last?.nextAttemptMs ?? 0)
  }

  async #turn(demanded: boolean): Promise<boolean> {
    const leaves = this.#leaves
    for (const { facts } of leaves) this.#expiry.look(facts)
    const nowMs = this.#host.clock.nowMs()
    const isDue = this.#sources.map((_, index) => demanded || nowMs >= this.#dueMs(leaves[index]))
    if (!isDue.includes(true)) return false
    try {
      const authority = await loadAuthority(this.#ca)
      const renewed = await Promise.all(
        this.#sources.map(async (source, index) => {
          const leaf = leaves[index]
          return leaf !== undefined && isDue[index] !== true
            ? leaf
            : await source.obtain(authority, leaf?.facts.serial)
        }),
      )
      await this.#host.publish(this.listenerId, renewed.map(toPushed))
      this.#leaves = renewed
      this.#retries.noteSuccess()
    } catch (error) {
      const [first] = leaves.toSorted((a, b) => a.facts.notAfterMs - b.facts.notAfterMs)
      if (!this.#closing.signal.aborted) this.#retries.noteFailed(error, first?.facts)
      throw error
    }
    return true
  }
}

/** `127.0.0.1,::1:443` as a file name, two of which never become one. */
function directoryNameOf(listenerId: string): string {
  const digest = createHash('sha256').update(listenerId).digest('hex').slice(0, 8)
  return `${listenerId.replaceAll(/[^\w.-]/gu, '_').slice(0, 60)}-${digest}`
}

function chunksOf(hosts: readonly string[]): (readonly string[])[] {
  const count = Math.ceil(hosts.length / NAMES_PER_LEAF)
  return Array.from({ length: count }, (_, index) =>
    hosts.slice(index * NAMES_PER_LEAF, (index + 1) * NAMES_PER_LEAF),
  )
}
