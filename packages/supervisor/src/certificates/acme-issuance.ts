// The attempts to get one listener's ACME certificate: alone in the cache directory, using what another
// process has left there, else ordering; saved, installed, and a failure noted. When an attempt is due is
// the manager's to say, how an order goes acme-order.ts's.
import { isoTime } from '@reverse-proxy/shared/clock'
import type { AcmeSettings } from '@reverse-proxy/shared/config/config'
import { messageOf } from '@reverse-proxy/shared/error-text'
import type { AcmeCache } from './acme-cache.ts'
import type { AcmeLimits } from './acme-limits.ts'
import { AcmeError } from './acme-problem.ts'
import type { AcmeReporter } from './acme-reporter.ts'
import type { AttemptReason } from './attempt-reason.ts'
import { assertDue, NotDueError } from './attempt-reason.ts'
import type { CertificateAuthority } from './certificate-authority.ts'
import type { CertificateClock } from './certificate-clock.ts'
import { missingNames } from './coverage.ts'
import type { FailureRecord, OrderSubject } from './failure-record.ts'
import { failureAsOf, nextFailure } from './failure-record.ts'
import { heldNames } from './held-names.ts'
import type { CertificateHost } from './host.ts'
import type { DirectoryLock } from './lock.ts'
import { againIfLost, lockDirectory } from './lock.ts'
import type { RenewalPlan } from './renewal-plan.ts'
import { mayLeaveOut } from './renewal.ts'
import type { ServedSet } from './served-set.ts'
import type { StoredCertificate } from './store.ts'

export interface IssuanceOptions {
  readonly listenerId: string
  readonly settings: AcmeSettings
  readonly host: CertificateHost
  readonly limits: AcmeLimits
  readonly authority: CertificateAuthority
  readonly cache: AcmeCache
  readonly clock: CertificateClock
  readonly plan: RenewalPlan
  readonly served: ServedSet
  readonly report: AcmeReporter
}

export class AcmeIssuance {
  readonly #listenerId: string
  readonly #settings: AcmeSettings
  readonly #host: CertificateHost
  readonly #limits: AcmeLimits
  readonly #authority: CertificateAuthority
  readonly #cache: AcmeCache
  readonly #clock: CertificateClock
  readonly #plan: RenewalPlan
  readonly #served: ServedSet
  readonly #report: AcmeReporter
  #failure: FailureRecord | undefined
  /** What is recorded while the attempt's order is under way, and what was before. */
  #begun: { readonly record: FailureRecord; readonly before: FailureRecord | undefined } | undefined

  /** The names that the attempt leaves out from the start. */
  #held: readonly string[] = []
  /** Issued, when the lock had gone to another process. */
  #inHand: StoredCertificate | undefined

  constructor(options: IssuanceOptions) {
    this.#listenerId = options.listenerId
    this.#settings = options.settings
    this.#host = options.host
    this.#limits = options.limits
    this.#authority = options.authority
    this.#cache = options.cache
    this.#clock = options.clock
    this.#plan = options.plan
    this.#served = options.served
    this.#report = options.report
  }

  /** Of the last attempt; undefined if that succeeded. */
  get failure(): FailureRecord | undefined {
    return this.#failure
  }

  /** Throws CACHE. */
  async load(): Promise<void> {
    this.#failure = await this.#cache.readFailure()
  }

  /** When the next attempt is due: the certificate's own time, put off by a failure. */
  dueMs(): number {
    if (this.#isRestDue()) return 0
    return Math.max(this.#served.isComplete ? this.#renewAtMs() : 0, this.#failure?.nextAttemptMs ?? 0)
  }

  /** Under a clock that has been set back, what failed in the future has just failed. */
  reconsiderFailure(): void {
    this.#failure = this.#failure && failureAsOf(this.#failure, this.#clock.nowMs())
  }

  /** Throws NotDueError if an attempt would have to wait. */
  assertDue(reason: AttemptReason): void {
    if (this.#isRestDue()) return
    const { failurePath: path } = this.#cache
    assertDue(reason, { failure: this.#failure, nowMs: this.#clock.nowMs(), path })
  }

  /** Leaves a new certificate installed; or throws, having said why and noted when the next attempt is due. */
  async attempt(signal: AbortSignal, reason: AttemptReason): Promise<void> {
    try {
      await againIfLost(async () => await this.#attemptOnce(signal, reason))
    } catch (error) {
      if (this.#inHand === undefined || signal.aborted) throw error
      // Nobody has left anything better.
      this.#served.noteUnsaved(error)
      await this.#use(this.#inHand)
    } finally {
      this.#inHand = undefined
    }
  }

  async #attemptOnce(signal: AbortSignal, reason: AttemptReason): Promise<void> {
    const lost = this.#begun
    this.#begun = undefined
    this.#held = []
    let lock: DirectoryLock | undefined
    try {
      await this.#cache.prepare()
      lock = await this.#lock(signal, reason)
      if (lock === undefined) return
      const isDone = await this.#takeOver(reason)
      const recorded = await this.#cache.readFailure()
      // The beginning of an order that lost the lock is no failure of anybody's.
      this.#failure = isSameRecord(recorded, lost?.record) ? lost?.before : recorded
      if (isDone) return
      if (this.#inHand !== undefined) {
        await this.#keep(this.#inHand, lock)
        return
      }
      this.assertDue(reason)
      if (reason !== 'demand' && this.#isRestDue()) this.#held = this.#heldNames()
      await this.#order(lock, signal, this.#without(this.#held))
    } catch (cause) {
      if (cause instanceof NothingDueError) return await this.#settleRecord()
      if (signal.aborted || cause instanceof NotDueError) throw cause
      // Whatever the order died of then, this is why.
      const error: unknown = lock?.signal.aborted === true ? lock.signal.reason : cause
      const rest = this.#restWorthOrdering(error)
      await this.#fail(error, lock)
      if (lock === undefined || rest.length === 0) throw error
      await this.#orderRest(lock, signal, rest)
    } finally {
      await lock?.release()
    }
  }

  /** Undefined when another process has outlasted our patience, yet left something that will do. */
  async #lock(signal: AbortSignal, reason: AttemptReason): Promise<DirectoryLock | undefined> {
    try {
      return await lockDirectory(this.#settings.cacheDir, {
        signal,
        waitLimitMs: this.#limits.lockMs,
        onWaiting: (holder) => this.#report.progress('waiting', `for ${holder}`),
      })
    } catch (error) {
      if (signal.aborted || !(await this.#takeOver(reason))) throw error
      return undefined
    }
  }

  /** True if what another process has put into the cache meanwhile leaves nothing to do. */
  async #takeOver(reason: AttemptReason): Promise<boolean> {
    if (!(await this.#served.takeOver())) return false
    // A start needs no more than something to serve: the rest is ordered in the background.
    return reason === 'start' || (this.#served.isComplete && this.#renewAtMs() > this.#clock.nowMs())
  }

  /** SPEC 5, one bad name: the names to order without those that failed; none if that is not worth an order. */
  #restWorthOrdering(error: unknown): readonly string[] {
    const failed = error instanceof AcmeError ? error.failedNames : []
    const { domains } = this.#settings
    const { certificate } = this.#served
    const rest = this.#without([...this.#held, ...failed])
    const isWorth = mayLeaveOut({
      nowMs: this.#clock.nowMs(),
      lifetimeMs: certificate && lifetimeOf(certificate),
      lastTimeMs: this.#failure?.leftOutAtMs,
      addsNames: this.#served.addsNames(rest),
      renewAtMs: this.#renewAtMs(),
    })
    // A CA may blame a name that was not ordered: the domain above, say.
    return rest.length < domains.length - this.#held.length && isWorth ? rest : []
  }

  async #order(lock: DirectoryLock, signal: AbortSignal, names: readonly string[]): Promise<void> {
    this.#report.ordering(names)
    const issued = await this.#authority.placeOrder({
      settings: this.#settings,
      names,
      predecessor: this.#served.certificate,
      accounts: this.#cache.accounts,
      host: { jobs: this.#host.jobs, clock: this.#clock },
      limits: this.#limits,
      signal: AbortSignal.any([signal, lock.signal]),
      arm: async (challenges) => await this.#host.arm(this.#listenerId, challenges),
      disarm: async () => await this.#disarm(),
      progress: (step, detail) => this.#report.progress(step, detail),
      mayOrder: async () => {
        await lock.assertHeld()
        this.#assertWorthIt()
        await this.#noteBegun()
      },
    })
    this.#report.issued(issued)
    await this.#keep(issued, lock)
  }

  /** Saves and installs it; throws, with the certificate in hand, if another process has the lock and so decides. */
  async #keep(issued: StoredCertificate, lock: DirectoryLock): Promise<void> {
    const isComplete = missingNames(this.#settings, issued).length === 0
    if (isComplete) this.#failure = undefined
    else this.#noteLeftOut()
    try {
      await this.#cache.saveCertificate(issued, async () => await lock.assertHeld())
      this.#served.noteSaved()
      await this.#settleRecord()
    } catch (error) {
      if (lock.signal.aborted) {
        this.#inHand = issued
        throw error
      }
      this.#served.noteUnsaved(error)
    }
    await this.#use(issued)
  }

  async #use(issued: StoredCertificate): Promise<void> {
    await this.#plan.noteIssued(issued)
    await this.#served.install(issued)
    this.#report.progress('issued', `until ${isoTime(issued.facts.notAfterMs)}`)
  }

  /**
   * An order counts at the CA from its first request on: one that is cut short, by a signal or a power cut,
   * has failed, or a restart loop would order each time. The first in a row may be placed again at once.
   * Throws CACHE: what cannot be noted is not ordered.
   */
  async #noteBegun(): Promise<void> {
    if (this.#begun !== undefined) return
    const before = this.#failure
    const cutShort = this.#failureOf(new AcmeError('the order was cut short', { reachedCa: true }))
    const record = before === undefined ? { ...cutShort, nextAttemptMs: cutShort.failedAtMs } : cutShort
    this.#begun = { record, before }
    await this.#cache.saveFailure(record)
  }

  /** Takes back what was noted when the order began. */
  async #settleRecord(): Promise<void> {
    if (this.#failure === undefined) await this.#cache.clearFailure()
    else await this.#cache.saveFailure(this.#failure)
  }

  #noteLeftOut(): void {
    if (this.#failure === undefined) return
    this.#failure = { ...this.#failure, ...this.#subject(), leftOutAtMs: this.#clock.nowMs() }
  }

  async #orderRest(lock: DirectoryLock, signal: AbortSignal, rest: readonly string[]): Promise<void> {
    try {
      await this.#order(lock, signal, rest)
    } catch (error) {
      if (signal.aborted) throw error
      this.#report.error(`without the names that failed: ${messageOf(error)}`)
      // What has nothing to do with the names is tried again soon.
      if (error instanceof AcmeError && error.failedNames.length > 0) {
        this.#noteLeftOut()
        await this.#settleRecord()
      }
      throw error
    }
  }

  async #disarm(): Promise<void> {
    try {
      await this.#host.arm(this.#listenerId, [])
    } catch (error) {
      this.#report.error(`not disarmed: ${messageOf(error)}`)
    }
  }

  /** The CA's first answer may have shown that it is our clock that is wrong, and the certificate good. */
  #assertWorthIt(): void {
    if (!this.#clock.isCorrected() || this.#served.needsOrder) return
    if (this.#clock.nowMs() < this.dueMs()) throw new NothingDueError()
  }

  async #fail(error: unknown, lock: DirectoryLock | undefined): Promise<void> {
    const record = this.#failureOf(error)
    this.#failure = record
    this.#report.failed(record)
    // Without the lock the record is not ours to write: whoever has it notes its own failures.
    if (lock === undefined || lock.signal.aborted) return
    try {
      await this.#cache.saveFailure(record)
    } catch (cause) {
      this.#report.error(`the failure is not recorded: ${messageOf(cause)}`)
    }
  }

  #failureOf(error: unknown): FailureRecord {
    return nextFailure(error, {
      order: this.#subject(),
      held: this.#held,
      previous: this.#failure,
      validity: this.#served.certificate?.facts,
      isOrdered: this.#begun !== undefined,
      nowMs: this.#clock.nowMs(),
      jitter: Math.random(),
    })
  }

  #subject(): OrderSubject {
    return { directoryUrl: this.#settings.directoryUrl, names: this.#settings.domains }
  }

  #heldNames(): readonly string[] {
    return heldNames(this.#failure, this.#subject(), this.#clock.nowMs())
  }

  #without(names: readonly string[]): readonly string[] {
    return this.#settings.domains.filter((name) => !names.includes(name))
  }

  /** Names were added to one that failed a short while ago: they do not wait for it. */
  #isRestDue(): boolean {
    const held = this.#heldNames()
    return held.length > 0 && this.#served.addsNames(this.#without(held))
  }

  #renewAtMs(): number {
    const { certificate } = this.#served
    return certificate === undefined ? 0 : this.#plan.dueMs(certificate)
  }
}

function isSameRecord(a: FailureRecord | undefined, b: FailureRecord | undefined): boolean {
  return a?.failedAtMs === b?.failedAtMs && a?.reason === b?.reason
}

function lifetimeOf({ facts }: StoredCertificate): number {
  return facts.notAfterMs - facts.notBeforeMs
}

/** An attempt that was begun under a wrong clock. */
class NothingDueError extends Error {}
