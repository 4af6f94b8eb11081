// One listener's ACME certificate: found in the cache, ordered when it must be, renewed in the background.
// SPEC 5's table of situations is decided here; how an order goes is acme-order.ts, when the next one is
// due is renewal.ts, what is on disk is store.ts.
import type { AcmeSettings } from '@reverse-proxy/shared/config/config'
import { nameCovers } from '@reverse-proxy/shared/config/host-name'
import { ProxyError } from '@reverse-proxy/shared/errors'
import type { PushedCertificate } from '@reverse-proxy/shared/ipc/messages'
import { AccountStore } from './acme-account.ts'
import { placeOrder } from './acme-order.ts'
import { AcmeError } from './acme-problem.ts'
import { ExpiryWatch } from './expiry-watch.ts'
import type { FailureRecord } from './failure-record.ts'
import { concerns, FailureStore } from './failure-record.ts'
import type { CertificateHost } from './host.ts'
import type { DirectoryLock } from './lock.ts'
import { lockDirectory } from './lock.ts'
import type { CertificateManager } from './manager.ts'
import type { OrderStep } from './progress.ts'
import { toPushed } from './pushed.ts'
import { jitterOf, renewAtMs, retryAtMs } from './renewal.ts'
import { sleepUntil } from './sleep-until.ts'
import type { StoredCertificate } from './store.ts'
import { CertificateStore } from './store.ts'

export class AcmeManager implements CertificateManager {
  readonly listenerId: string
  readonly #settings: AcmeSettings
  readonly #host: CertificateHost
  readonly #store: CertificateStore
  readonly #accounts: AccountStore
  readonly #failures: FailureStore
  readonly #expiry: ExpiryWatch
  readonly #closing = new AbortController()

  #certificate: StoredCertificate | undefined
  #failure: FailureRecord | undefined
  /** The attempt or the background loop under way. */
  #work: Promise<void> = Promise.resolve()

  constructor(listenerId: string, settings: AcmeSettings, host: CertificateHost) {
    this.listenerId = listenerId
    this.#settings = settings
    this.#host = host
    this.#store = new CertificateStore(settings.cacheDir)
    this.#accounts = new AccountStore(settings.cacheDir)
    this.#failures = new FailureStore(settings.cacheDir)
    this.#expiry = new ExpiryWatch(listenerId, host)
  }

  async load(): Promise<void> {
    this.#certificate = await this.#readCache()
    await this.#readFailure()
    if (this.#certificate === undefined) return
    const { facts } = this.#certificate
    this.#host.log.info('CERT_LOADED', { ...this.#fieldsOf(facts), source: 'cache' })
    this.#expiry.look(facts)
    const missing = this.#missingNames(facts.names)
    if (missing.length > 0)
      this.#host.log.error('CERT_FAILED', { ...this.#fields, missing: missing.join(',') })
  }

  current(): readonly PushedCertificate[] {
    return this.#certificate === undefined ? [] : [toPushed(this.#certificate)]
  }

  needsOrder(): boolean {
    return this.#certificate === undefined || this.#host.clock.nowMs() >= this.#certificate.facts.notAfterMs
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
        const certificate = this.#certificate
        const lookMs = certificate === undefined ? Infinity : this.#expiry.nextLookMs(certificate.facts)
        await sleepUntil(Math.min(dueMs, lookMs), clock, signal)
        if (certificate !== undefined) this.#expiry.look(certificate.facts)
        if (clock.nowMs() >= dueMs) await this.#attempt(signal, 'renewal')
      } catch {
        // An attempt has written down its failure, and when it is due again; everything else here only waits.
      }
    }
  }

  /** When the next attempt is due: the certificate's own time, put off by a failure. */
  #dueMs(): number {
    const wantedMs = this.#isComplete() ? this.#renewAtMs() : 0
    return Math.max(wantedMs, this.#failure?.nextAttemptMs ?? 0)
  }

  #renewAtMs(): number {
    if (this.#certificate === undefined) return 0
    const { facts } = this.#certificate
    return renewAtMs(facts, jitterOf(facts.serial))
  }

  /** It is of the CA that is configured, and has every name. */
  #isComplete(): boolean {
    if (this.#certificate === undefined) return false
    const { facts, origin } = this.#certificate
    return origin === this.#settings.directoryUrl && this.#missingNames(facts.names).length === 0
  }

  /** Leaves a new certificate installed, or throws after having recorded the failure. */
  async #attempt(signal: AbortSignal, reason: 'start' | 'renewal'): Promise<void> {
    let lock: DirectoryLock | undefined
    try {
      await this.#store.prepare()
      lock = await lockDirectory(this.#settings.cacheDir, {
        signal,
        onWaiting: (holder) => this.#progress('waiting', `for ${holder}`),
      })
      if (await this.#takeOver()) return
      await this.#readFailure()
      this.#assertDue(reason)
      await this.#order(lock, AbortSignal.any([signal, lock.signal]))
    } catch (error) {
      if (!signal.aborted && !(error instanceof NotDueError)) await this.#fail(error, lock)
      throw error
    } finally {
      await lock?.release()
    }
  }

  /** Uses what another process has put into the cache meanwhile. */
  async #takeOver(): Promise<boolean> {
    const cached = await this.#readCache()
    if (cached === undefined || cached.facts.serial === this.#certificate?.facts.serial) return false
    if (cached.facts.notAfterMs <= this.#host.clock.nowMs()) return false
    this.#host.log.info('CERT_LOADED', { ...this.#fieldsOf(cached.facts), source: 'cache' })
    await this.#install(cached)
    return this.#isComplete() && this.#renewAtMs() > this.#host.clock.nowMs()
  }

  async #order(lock: DirectoryLock, signal: AbortSignal): Promise<void> {
    const { log } = this.#host
    const { domains } = this.#settings
    log.info('CERT_ORDER', { ...this.#fields, directory: this.#settings.directoryUrl })
    const issued = await placeOrder({
      settings: this.#settings,
      names: domains,
      accounts: this.#accounts,
      host: this.#host,
      signal,
      arm: async (challenges) => await this.#host.arm(this.listenerId, challenges),
      progress: (step, detail) => this.#progress(step, detail),
      mayOrder: async () => await lock.assertHeld(),
    })
    log.info('CERT_ISSUED', this.#fieldsOf(issued.facts))
    await this.#store
      .save(issued, async () => await lock.assertHeld())
      .then(async () => await this.#failures.clear())
      .catch((error: unknown) => {
        // It is good, and it has been paid for: serve it, and say that a restart will not find it.
        log.error('CERT_FAILED', { ...this.#fields, error: `issued but not saved: ${messageOf(error)}` })
      })
    this.#failure = undefined
    await this.#install(issued)
    this.#progress('issued', `until ${new Date(issued.facts.notAfterMs).toISOString()}`)
  }

  async #install(certificate: StoredCertificate): Promise<void> {
    this.#certificate = certificate
    await this.#host.publish(this.listenerId, this.current())
  }

  /** A start that comes too soon after a failure must not order: something may be restarting us in a loop. */
  #assertDue(reason: 'start' | 'renewal'): void {
    const failure = this.#failure
    if (failure === undefined || this.#host.clock.nowMs() >= failure.nextAttemptMs) return
    // A CA that could not be reached has counted nothing.
    if (reason === 'start' && !failure.reachedCa) return
    throw new NotDueError(failure, this.#failures.path)
  }

  async #fail(error: unknown, lock: DirectoryLock | undefined): Promise<void> {
    const { log, clock } = this.#host
    const acme = error instanceof AcmeError ? error : undefined
    const failures = (this.#failure?.failures ?? 0) + 1
    const failedAtMs = clock.nowMs()
    const record: FailureRecord = {
      failures,
      failedAtMs,
      nextAttemptMs: retryAtMs({
        failures,
        failedAtMs,
        retryAfterMs: acme?.retryAfterMs,
        validity: this.#certificate?.facts,
        jitter: Math.random(),
      }),
      reachedCa: acme?.reachedCa ?? false,
      directoryUrl: this.#settings.directoryUrl,
      names: this.#settings.domains,
      failedNames: acme?.failedNames ?? [],
      reason: messageOf(error),
      document: acme?.document,
    }
    this.#failure = record
    log.warn('CERT_FAILED', {
      ...this.#fields,
      error: record.reason,
      failed_names: record.failedNames.length === 0 ? undefined : record.failedNames.join(','),
      problem: record.document,
      next_attempt: new Date(record.nextAttemptMs).toISOString(),
    })
    // Whoever has the lock now writes down its own failures.
    if (lock === undefined || lock.signal.aborted) return
    try {
      await this.#failures.save(record)
    } catch (cause) {
      log.error('CERT_FAILED', { ...this.#fields, error: `the failure is not recorded: ${messageOf(cause)}` })
    }
  }

  /** The cached certificate, if it covers any wanted name. */
  async #readCache(): Promise<StoredCertificate | undefined> {
    const { log, jobs } = this.#host
    const { certificate, quarantined } = await this.#store.load(
      async (pair) => await jobs.run('inspectPair', pair, this.#closing.signal),
    )
    for (const { path, reason } of quarantined)
      log.error('CERT_QUARANTINED', { ...this.#fields, path, error: reason })
    if (certificate === undefined) return undefined
    const { names } = certificate.facts
    return this.#missingNames(names).length === this.#settings.domains.length ? undefined : certificate
  }

  async #readFailure(): Promise<void> {
    const { directoryUrl, domains } = this.#settings
    const record = await this.#failures.load()
    // One from the future was written under a wrong clock.
    const counts =
      record !== undefined &&
      record.failedAtMs <= this.#host.clock.nowMs() &&
      concerns(record, { directoryUrl, names: domains })
    this.#failure = counts ? record : undefined
  }

  #missingNames(covering: readonly string[]): string[] {
    return this.#settings.domains.filter((name) => !covering.some((one) => nameCovers(one, name)))
  }

  #progress(step: OrderStep, detail?: string): void {
    const { listenerId } = this
    this.#host.progress({
      listenerId,
      step,
      names: this.#settings.domains,
      ...(detail !== undefined && { detail }),
    })
  }

  get #fields(): { readonly listener: string; readonly names: string } {
    return { listener: this.listenerId, names: this.#settings.domains.join(',') }
  }

  #fieldsOf(facts: StoredCertificate['facts']) {
    return {
      listener: this.listenerId,
      names: facts.names.join(','),
      issuer: facts.issuer,
      serial: facts.serial,
      not_after: new Date(facts.notAfterMs).toISOString(),
    }
  }
}

/** Not a failure of its own: the last one's waiting time is not over. */
class NotDueError extends ProxyError {
  constructor({ nextAttemptMs, reason }: FailureRecord, path: string) {
    const next = new Date(nextAttemptMs).toISOString()
    super(
      'ACME',
      `no certificate yet: the last attempt failed, and the next is due at ${next}. It said: ${reason}`,
      {
        hint: `mend the cause and start again after that time; to try at once, remove ${path}`,
      },
    )
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
