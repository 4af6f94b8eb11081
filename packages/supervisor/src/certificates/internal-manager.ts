// One listener's certificates from the local CA: leaves for all its site hosts, issued when the
// listener starts, kept in state_dir for the next start, renewed in the background.
import { createHash } from 'node:crypto'
import { isoTime } from '@reverse-proxy/shared/clock'
import { messageOf } from '@reverse-proxy/shared/error-text'
import { ProxyError } from '@reverse-proxy/shared/errors'
import type { PushedCertificate } from '@reverse-proxy/shared/ipc/messages'
import { ExpiryWatch } from './expiry-watch.ts'
import type { CertificateHost } from './host.ts'
import type { InternalCaRequest } from './internal-ca.ts'
import { loadAuthority } from './internal-ca.ts'
import { dueAtMs, InternalLeaf } from './internal-leaf.ts'
import type { CertificateManager } from './manager.ts'
import { toPushed } from './pushed.ts'
import { RenewalLoop } from './renewal-loop.ts'
import { retryAtMs } from './renewal.ts'
import type { LastFailure, ManagerStatus } from './status.ts'
import type { StoredCertificate } from './store.ts'

/** A certificate of thousands of names would be more than a handshake can carry, and each change would renew it all. */
const NAMES_PER_LEAF = 100

export class InternalManager implements CertificateManager {
  readonly listenerId: string
  readonly loop: RenewalLoop
  readonly #hosts: readonly string[]
  readonly #host: CertificateHost
  readonly #ca: InternalCaRequest
  readonly #sources: readonly InternalLeaf[]
  readonly #expiry: ExpiryWatch
  readonly #closing = new AbortController()

  /** One for each source, once loaded. */
  #leaves: readonly StoredCertificate[] = []
  #failure: LastFailure | undefined
  /** In a row. */
  #failures = 0
  #work: Promise<void> = Promise.resolve()

  constructor(listenerId: string, hosts: readonly string[], stateDir: string, host: CertificateHost) {
    this.listenerId = listenerId
    this.#hosts = hosts
    this.#host = host
    this.#ca = {
      stateDir,
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
    const nextMs = (): number => this.#nextMs()
    const turn = async (demanded: boolean): Promise<boolean> => await this.#turn(demanded)
    const { clock, log } = host
    const { signal } = this.#closing
    this.loop = new RenewalLoop({ listenerId, clock, log, nextMs, turn }, signal)
  }

  async load(): Promise<void> {
    const authority = await loadAuthority(this.#ca)
    this.#leaves = await Promise.all(this.#sources.map(async (source) => await source.obtain(authority)))
  }

  current(): readonly PushedCertificate[] {
    return this.#leaves.map(toPushed)
  }

  needsOrder(): boolean {
    return false
  }

  isComplete(): boolean {
    return true
  }

  status(): ManagerStatus {
    const leaves = this.#leaves
    return {
      listenerId: this.listenerId,
      mode: 'internal',
      certificates: leaves.map(({ facts }) => facts),
      missing: leaves.length === 0 ? this.#hosts : [],
      nextAttemptMs: leaves.length === 0 ? undefined : Math.min(...leaves.map((leaf) => this.#dueMs(leaf))),
      renewalWindow: undefined,
      failure: this.#failure,
      unsaved: undefined,
    }
  }

  async acquire(): Promise<void> {}

  start(): void {
    this.#work = this.loop.run()
  }

  async renew(): Promise<void> {
    await this.loop.demand()
  }

  async close(): Promise<void> {
    this.#closing.abort(new ProxyError('CERTIFICATE', 'the supervisor is stopping'))
    await this.#work
  }

  #nextMs(): number {
    const times = this.#leaves.map((leaf) => Math.min(this.#dueMs(leaf), this.#expiry.nextLookMs(leaf.facts)))
    return Math.min(...times)
  }

  #dueMs(leaf: StoredCertificate): number {
    return Math.max(dueAtMs(leaf), this.#failure?.nextAttemptMs ?? 0)
  }

  async #turn(demanded: boolean): Promise<boolean> {
    const leaves = this.#leaves
    for (const { facts } of leaves) this.#expiry.look(facts)
    const nowMs = this.#host.clock.nowMs()
    const isDue = leaves.map((leaf) => demanded || nowMs >= this.#dueMs(leaf))
    if (!isDue.includes(true)) return false
    try {
      const authority = await loadAuthority(this.#ca)
      const renewed = await Promise.all(
        leaves.map(async (leaf, index) => {
          const source = isDue[index] === true ? this.#sources[index] : undefined
          return (await source?.obtain(authority, leaf.facts.serial)) ?? leaf
        }),
      )
      await this.#host.publish(this.listenerId, renewed.map(toPushed))
      this.#leaves = renewed
      this.#failures = 0
      this.#failure = undefined
    } catch (error) {
      if (!this.#closing.signal.aborted) this.#fail(error)
      throw error
    }
    return true
  }

  #fail(error: unknown): void {
    const [first] = this.#leaves.toSorted((a, b) => a.facts.notAfterMs - b.facts.notAfterMs)
    const { clock, log } = this.#host
    const reason = messageOf(error)
    const failedAtMs = clock.nowMs()
    const nextAttemptMs = retryAtMs({
      failures: ++this.#failures,
      failedAtMs,
      retryAfterMs: undefined,
      isRejected: false,
      isIssued: false,
      validity: first?.facts,
      jitter: Math.random(),
    })
    this.#failure = { failedAtMs, nextAttemptMs, failedNames: [], reason, document: undefined }
    const next = isoTime(nextAttemptMs)
    log.warn('CERT_FAILED', { listener: this.listenerId, error: reason, next_attempt: next })
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
