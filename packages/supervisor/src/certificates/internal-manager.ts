// One listener's certificate from the local CA: one leaf for all its site hosts, issued when the
// listener starts, kept in state_dir for the next start, renewed in the background.
import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { isoTime } from '@reverse-proxy/shared/clock'
import { messageOf } from '@reverse-proxy/shared/error-text'
import { ProxyError } from '@reverse-proxy/shared/errors'
import type { PushedCertificate } from '@reverse-proxy/shared/ipc/messages'
import { ExpiryWatch } from './expiry-watch.ts'
import type { CertificateHost } from './host.ts'
import type { InternalCaRequest } from './internal-ca.ts'
import { internalCaDirectory, issueLeaf, loadAuthority } from './internal-ca.ts'
import { lockDirectory } from './lock.ts'
import type { CertificateManager } from './manager.ts'
import { fieldsOf, toPushed } from './pushed.ts'
import { RenewalLoop } from './renewal-loop.ts'
import { jitterOf, renewAtMs, retryAtMs } from './renewal.ts'
import type { LastFailure, ManagerStatus } from './status.ts'
import type { StoredCertificate } from './store.ts'
import { CertificateStore } from './store.ts'

export class InternalManager implements CertificateManager {
  readonly listenerId: string
  readonly loop: RenewalLoop
  readonly #hosts: readonly string[]
  readonly #host: CertificateHost
  readonly #ca: InternalCaRequest
  readonly #store: CertificateStore
  readonly #expiry: ExpiryWatch
  readonly #closing = new AbortController()

  #leaf: StoredCertificate | undefined
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
    this.#store = new CertificateStore(
      join(internalCaDirectory(stateDir), 'leaves', directoryNameOf(listenerId)),
    )
    this.#expiry = new ExpiryWatch(listenerId, host)
    const nextMs = (): number => this.#nextMs()
    const turn = async (demanded: boolean): Promise<boolean> => await this.#turn(demanded)
    const { clock, log } = host
    const { signal } = this.#closing
    this.loop = new RenewalLoop({ listenerId, clock, log, nextMs, turn }, signal)
  }

  async load(): Promise<void> {
    this.#leaf = await this.#issueIfDue()
  }

  current(): readonly PushedCertificate[] {
    return this.#leaf === undefined ? [] : [toPushed(this.#leaf)]
  }

  needsOrder(): boolean {
    return false
  }

  isComplete(): boolean {
    return true
  }

  status(): ManagerStatus {
    const leaf = this.#leaf
    return {
      listenerId: this.listenerId,
      mode: 'internal',
      certificates: leaf === undefined ? [] : [leaf.facts],
      missing: leaf === undefined ? this.#hosts : [],
      nextAttemptMs: leaf === undefined ? undefined : this.#dueMs(leaf),
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
    const leaf = this.#leaf
    return leaf === undefined ? Infinity : Math.min(this.#dueMs(leaf), this.#expiry.nextLookMs(leaf.facts))
  }

  #dueMs(leaf: StoredCertificate): number {
    return Math.max(dueAtMs(leaf), this.#failure?.nextAttemptMs ?? 0)
  }

  async #turn(demanded: boolean): Promise<boolean> {
    const leaf = this.#leaf
    if (leaf === undefined) return false
    this.#expiry.look(leaf.facts)
    if (!demanded && this.#host.clock.nowMs() < this.#dueMs(leaf)) return false
    try {
      const renewed = await this.#issueIfDue(leaf.facts.serial)
      await this.#host.publish(this.listenerId, [toPushed(renewed)])
      this.#leaf = renewed
      this.#failures = 0
      this.#failure = undefined
    } catch (error) {
      if (!this.#closing.signal.aborted) this.#fail(error, leaf)
      throw error
    }
    return true
  }

  #fail(error: unknown, leaf: StoredCertificate): void {
    const { clock, log } = this.#host
    const reason = messageOf(error)
    const failedAtMs = clock.nowMs()
    const nextAttemptMs = retryAtMs({
      failures: ++this.#failures,
      failedAtMs,
      retryAfterMs: undefined,
      isRejected: false,
      isIssued: false,
      validity: leaf.facts,
      jitter: Math.random(),
    })
    this.#failure = { failedAtMs, nextAttemptMs, failedNames: [], reason, document: undefined }
    const next = isoTime(nextAttemptMs)
    log.warn('CERT_FAILED', { listener: this.listenerId, error: reason, next_attempt: next })
  }

  /** Takes the leaf that is cached, unless it is the one to be replaced, or issues and saves one. Throws CACHE. */
  async #issueIfDue(replacedSerial?: string): Promise<StoredCertificate> {
    const authority = await loadAuthority(this.#ca)
    let leaf = await this.#readLeaf(authority, replacedSerial)
    const source = leaf === undefined ? 'issued' : 'cache'
    leaf ??= await this.#issue(authority, replacedSerial)
    this.#host.log.info(source === 'issued' ? 'CERT_ISSUED' : 'CERT_LOADED', fieldsOf(this.listenerId, leaf))
    return leaf
  }

  async #issue(authority: StoredCertificate, replacedSerial: string | undefined): Promise<StoredCertificate> {
    await this.#store.prepare()
    const lock = await lockDirectory(this.#store.directory, {
      signal: this.#closing.signal,
      onWaiting: (holder) => {
        const { listenerId } = this
        this.#host.progress({ listenerId, step: 'waiting', names: this.#hosts, detail: `for ${holder}` })
      },
    })
    try {
      const theirs = await this.#readLeaf(authority, replacedSerial)
      if (theirs !== undefined) return theirs
      const leaf = await issueLeaf(authority, this.#hosts, this.#ca)
      await this.#store.save(leaf, async () => await lock.assertHeld())
      return leaf
    } finally {
      await lock.release()
    }
  }

  /** The cached leaf, if it is this root's, has exactly our hosts, and is not due to be renewed. */
  async #readLeaf(
    authority: StoredCertificate,
    replacedSerial: string | undefined,
  ): Promise<StoredCertificate | undefined> {
    const { certificate, quarantined } = await this.#store.load(
      async (pair) => await this.#host.jobs.run('inspectPair', pair, this.#closing.signal),
    )
    quarantined.forEach(this.#ca.onQuarantined)
    if (certificate === undefined || certificate.origin !== authority.facts.serial) return undefined
    const { names, serial } = certificate.facts
    if (serial === replacedSerial) return undefined
    const isOurs = names.length === this.#hosts.length && this.#hosts.every((host) => names.includes(host))
    return isOurs && dueAtMs(certificate) > this.#host.clock.nowMs() ? certificate : undefined
  }
}

function dueAtMs({ facts, obtainedMs }: StoredCertificate): number {
  return renewAtMs(facts, obtainedMs, jitterOf(facts.serial))
}

/** `127.0.0.1,::1:443` as a file name, two of which never become one. */
function directoryNameOf(listenerId: string): string {
  const digest = createHash('sha256').update(listenerId).digest('hex').slice(0, 8)
  return `${listenerId.replaceAll(/[^\w.-]/gu, '_').slice(0, 60)}-${digest}`
}
