// One listener's ACME certificate: found in the cache, ordered when it must be, renewed in the background.
// SPEC 5's table of situations is decided here; how an order goes is acme-order.ts, when the next one is
// due is renewal.ts, what is on disk is acme-cache.ts.
import type { AcmeSettings } from '@reverse-proxy/shared/config/config'
import { ProxyError } from '@reverse-proxy/shared/errors'
import type { PushedCertificate } from '@reverse-proxy/shared/ipc/messages'
import { AcmeCache, missingNames } from './acme-cache.ts'
import type { AcmeLimits } from './acme-limits.ts'
import { ACME_LIMITS } from './acme-limits.ts'
import { placeOrder } from './acme-order.ts'
import { AcmeError } from './acme-problem.ts'
import { ExpiryWatch } from './expiry-watch.ts'
import type { FailureRecord } from './failure-record.ts'
import { nextFailure } from './failure-record.ts'
import type { CertificateHost } from './host.ts'
import type { DirectoryLock } from './lock.ts'
import { lockDirectory } from './lock.ts'
import type { CertificateManager } from './manager.ts'
import type { OrderStep } from './progress.ts'
import { fieldsOf, toPushed } from './pushed.ts'
import { jitterOf, mayLeaveOut, renewAtMs } from './renewal.ts'
import { sleepUntil } from './sleep-until.ts'
import type { StoredCertificate } from './store.ts'

export class AcmeManager implements CertificateManager {
  readonly listenerId: string
  readonly #settings: AcmeSettings
  readonly #host: CertificateHost
  readonly #cache: AcmeCache
  readonly #limits: AcmeLimits
  readonly #expiry: ExpiryWatch
  readonly #closing = new AbortController()

  #certificate: StoredCertificate | undefined
  #failure: FailureRecord | undefined
  /** The attempt or the background loop under way. */
  #work: Promise<void> = Promise.resolve()

  constructor(listenerId: string, settings: AcmeSettings, host: CertificateHost, limits = ACME_LIMITS) {
    this.listenerId = listenerId
    this.#limits = limits
    this.#settings = settings
    this.#host = host
    this.#cache = new AcmeCache({
      settings,
      clock: host.clock,
      inspect: async (pair) => await host.jobs.run('inspectPair', pair, this.#closing.signal),
      onQuarantined: ({ path, reason }) => {
        host.log.error('CERT_QUARANTINED', { listener: listenerId, path, error: reason })
      },
    })
    this.#expiry = new ExpiryWatch(listenerId, host)
  }

  async load(): Promise<void> {
    this.#certificate = await this.#cache.readCertificate()
    this.#failure = await this.#cache.readFailure()
    if (this.#certificate === undefined) return
    this.#host.log.info('CERT_LOADED', { ...fieldsOf(this.listenerId, this.#certificate), source: 'cache' })
    this.#expiry.look(this.#certificate.facts)
    this.#reportMissing(this.#certificate)
  }

  current(): readonly PushedCertificate[] {
    return this.#certificate === undefined ? [] : [toPushed(this.#certificate)]
  }

  needsOrder(): boolean {
    return this.#certificate === undefined || this.#host.clock.nowMs() >= this.#certificate.facts.notAfterMs
  }

  /** It is of the CA that is configured, and has every name. */
  isComplete(): boolean {
    if (this.#certificate?.origin !== this.#settings.directoryUrl) return false
    return missingNames(this.#settings, this.#certificate).length === 0
  }

  async acquire(signal: AbortSignal): Promise<void> {
    const work = this.#attempt(AbortSignal.any([signal, this.#closing.signal]), 'start')
    this.#work = work.catch(() => {})
    await work
  }

  start(): void {
    this.#work = this.#keepRenewing()
  }

  async close(): Promise<void> {
    this.#closing.abort(new ProxyError('ACME', 'the supervisor is stopping'))
    await this.#work
  }

  /** Ends only when the manager is closed. */
  async #keepRenewing(): Promise<void> {
    const { clock } = this.#host
    const { signal } = this.#closing
    while (!signal.aborted) {
      try {
        const dueMs = this.#dueMs()
        const facts = this.#certificate?.facts
        const lookMs = facts === undefined ? Infinity : this.#expiry.nextLookMs(facts)
        await sleepUntil(Math.min(dueMs, lookMs), clock, signal)
        if (facts !== undefined) this.#expiry.look(facts)
        if (clock.nowMs() >= dueMs) await this.#attempt(signal, 'renewal')
      } catch {
        // An attempt has said why it failed, and noted when the next is due; all else here only waits.
      }
    }
  }

  /** When the next attempt is due: the certificate's own time, put off by a failure. */
  #dueMs(): number {
    return Math.max(this.isComplete() ? this.#renewAtMs() : 0, this.#failure?.nextAttemptMs ?? 0)
  }

  #renewAtMs(): number {
    if (this.#certificate === undefined) return 0
    const { facts, obtainedMs } = this.#certificate
    return renewAtMs(facts, obtainedMs, jitterOf(facts.serial))
  }

  /** Leaves a new certificate installed; or throws, having said why and noted when the next attempt is due. */
  async #attempt(signal: AbortSignal, reason: 'start' | 'renewal'): Promise<void> {
    let lock: DirectoryLock | undefined
    try {
      await this.#cache.prepare()
      lock = await lockDirectory(this.#settings.cacheDir, {
        signal,
        onWaiting: (holder) => this.#progress('waiting', `for ${holder}`),
      })
      if (await this.#takeOver()) return
      this.#failure = await this.#cache.readFailure()
      this.#assertDue(reason)
      await this.#order(lock, signal, this.#settings.domains)
    } catch (error) {
      if (signal.aborted || error instanceof NotDueError) throw error
      const rest = this.#restWorthOrdering(error)
      await this.#fail(error, lock, rest)
      if (lock === undefined || rest.length === 0) throw error
      await this.#orderRest(lock, signal, rest)
    } finally {
      await lock?.release()
    }
  }

  /** Uses what another process has put into the cache meanwhile; true if nothing is left to do. */
  async #takeOver(): Promise<boolean> {
    const cached = await this.#cache.readCertificate()
    if (cached === undefined || cached.facts.notAfterMs <= this.#host.clock.nowMs()) return false
    // Ours may be newer than the cache: one that could not be saved is served nevertheless.
    if (cached.obtainedMs <= (this.#certificate?.obtainedMs ?? -Infinity)) return false
    this.#host.log.info('CERT_LOADED', { ...fieldsOf(this.listenerId, cached), source: 'cache' })
    await this.#install(cached)
    return this.isComplete() && this.#renewAtMs() > this.#host.clock.nowMs()
  }

  /** SPEC 5, one bad name: the names to order without those that failed; none if that is not worth an order. */
  #restWorthOrdering(error: unknown): readonly string[] {
    const failed = error instanceof AcmeError ? error.failedNames : []
    const { domains } = this.#settings
    const rest = domains.filter((name) => !failed.includes(name))
    const missing = this.#certificate === undefined ? rest : missingNames(this.#settings, this.#certificate)
    const isWorth = mayLeaveOut({
      nowMs: this.#host.clock.nowMs(),
      lastTimeMs: this.#failure?.leftOutAtMs,
      addsNames: rest.some((name) => missing.includes(name)),
      renewAtMs: this.#renewAtMs(),
    })
    // A CA may blame a name that was not ordered: the domain above, say.
    return rest.length < domains.length && isWorth ? rest : []
  }

  async #order(lock: DirectoryLock, signal: AbortSignal, names: readonly string[]): Promise<void> {
    const { log } = this.#host
    log.info('CERT_ORDER', {
      listener: this.listenerId,
      names: names.join(','),
      directory: this.#settings.directoryUrl,
    })
    const mayOrder = async (): Promise<void> => await lock.assertHeld()
    const issued = await placeOrder({
      settings: this.#settings,
      names,
      accounts: this.#cache.accounts,
      host: this.#host,
      limits: this.#limits,
      signal: AbortSignal.any([signal, lock.signal]),
      arm: async (challenges) => await this.#host.arm(this.listenerId, challenges),
      disarm: async () => await this.#disarm(),
      progress: (step, detail) => this.#progress(step, detail),
      mayOrder,
    })
    log.info('CERT_ISSUED', fieldsOf(this.listenerId, issued))
    const isComplete = names.length === this.#settings.domains.length
    if (isComplete) this.#failure = undefined
    try {
      await this.#cache.saveCertificate(issued, mayOrder)
      if (isComplete) await this.#cache.clearFailure()
    } catch (error) {
      // It is good, and it has been paid for: serve it, and say that a restart will not find it.
      this.#reportError(`issued but not saved: ${messageOf(error)}`)
    }
    await this.#install(issued)
    this.#reportMissing(issued)
    this.#progress('issued', `until ${new Date(issued.facts.notAfterMs).toISOString()}`)
  }

  async #orderRest(lock: DirectoryLock, signal: AbortSignal, rest: readonly string[]): Promise<void> {
    try {
      await this.#order(lock, signal, rest)
    } catch (error) {
      if (!signal.aborted) this.#reportError(`without the names that failed: ${messageOf(error)}`)
      throw error
    }
  }

  async #install(certificate: StoredCertificate): Promise<void> {
    this.#certificate = certificate
    await this.#host.publish(this.listenerId, this.current())
  }

  async #disarm(): Promise<void> {
    try {
      await this.#host.arm(this.listenerId, [])
    } catch (error) {
      this.#reportError(`not disarmed: ${messageOf(error)}`)
    }
  }

  /** A start that comes too soon after a failure must not order: something may be restarting us in a loop. */
  #assertDue(reason: 'start' | 'renewal'): void {
    const failure = this.#failure
    if (failure === undefined || this.#host.clock.nowMs() >= failure.nextAttemptMs) return
    // A CA that could not be reached has counted nothing.
    if (reason === 'start' && !failure.reachedCa) return
    throw new NotDueError(failure, this.#cache.failurePath)
  }

  async #fail(error: unknown, lock: DirectoryLock | undefined, rest: readonly string[]): Promise<void> {
    const record = nextFailure(error, {
      order: { directoryUrl: this.#settings.directoryUrl, names: this.#settings.domains },
      previous: this.#failure,
      validity: this.#certificate?.facts,
      leavesOut: rest.length > 0,
      nowMs: this.#host.clock.nowMs(),
      jitter: Math.random(),
    })
    this.#failure = record
    this.#host.log.warn('CERT_FAILED', {
      listener: this.listenerId,
      names: this.#settings.domains.join(','),
      error: record.reason,
      failed_names: record.failedNames.length === 0 ? undefined : record.failedNames.join(','),
      problem: record.document,
      next_attempt: new Date(record.nextAttemptMs).toISOString(),
    })
    // Without the lock the record is not ours to write: whoever has it notes its own failures.
    if (lock === undefined || lock.signal.aborted) return
    try {
      await this.#cache.saveFailure(record)
    } catch (cause) {
      this.#reportError(`the failure is not recorded: ${messageOf(cause)}`)
    }
  }

  #reportMissing(certificate: StoredCertificate): void {
    const missing = missingNames(this.#settings, certificate)
    if (missing.length > 0) this.#reportError(`the certificate lacks ${missing.join(', ')}`)
  }

  #reportError(error: string): void {
    this.#host.log.error('CERT_FAILED', {
      listener: this.listenerId,
      names: this.#settings.domains.join(','),
      error,
    })
  }

  #progress(step: OrderStep, detail?: string): void {
    this.#host.progress({
      listenerId: this.listenerId,
      step,
      names: this.#settings.domains,
      ...(detail !== undefined && { detail }),
    })
  }
}

/** Not a failure of its own: the last one's waiting time is not over. */
class NotDueError extends ProxyError {
  constructor({ nextAttemptMs, reason }: FailureRecord, path: string) {
    const next = new Date(nextAttemptMs).toISOString()
    super(
      'ACME',
      `no certificate yet: the last attempt failed, and the next is due at ${next}. It said: ${reason}`,
      { hint: `mend the cause and start again after that time; to try at once, remove ${path}` },
    )
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
