// One attempt to get a listener's ACME certificate: locks the cache directory, uses what another process has left there
// or places an order, saves the certificate and installs it. manager.ts decides when; order.ts speaks to the CA;
// retry-state.ts records failures; partial-order.ts leaves out names that failed.
import { isoTime } from '@reverse-proxy/shared/clock'
import type { AcmeSettings } from '@reverse-proxy/shared/config/config'
import { messageOf } from '@reverse-proxy/shared/error-text'
import type { ArmedChallenge } from '@reverse-proxy/shared/ipc/messages'
import { createSolver } from '../solvers/create-solver.ts'
import type { ChallengeSolver } from '../solvers/solver.ts'
import type { AcmeCache } from './cache.ts'
import type { AcmeLimits } from '../acme-client/transport/time-limits.ts'
import type { AcmeReporter } from './reporter.ts'
import type { FailedOrder } from './partial-order.ts'
import { PartialOrder } from './partial-order.ts'
import type { OrderRequest } from '../acme-client/order-request.ts'
import type { OrderTrigger } from '../renewal/order-trigger.ts'
import { assertStartAllowed, RetryLaterError } from '../renewal/order-trigger.ts'
import type { CertificateAuthority } from '../acme-client/certificate-authority.ts'
import type { RenewalClock } from '../renewal/renewal-clock.ts'
import { missingNames } from './coverage.ts'
import type { RetryState } from '../renewal/retry-state.ts'
import type { CertificateServices } from '../services.ts'
import type { HeldLock } from '../storage/storage.ts'
import { againIfLost } from '../storage/storage.ts'
import type { RenewalPlan } from '../renewal/plan.ts'
import type { ServedCertificates } from './served-certificates.ts'
import type { StoredCertificate } from '../certificate.ts'

export interface IssuanceOptions {
  readonly listenerId: string
  readonly settings: AcmeSettings
  readonly host: CertificateServices
  readonly limits: AcmeLimits
  readonly authority: CertificateAuthority
  readonly cache: AcmeCache
  readonly clock: RenewalClock
  readonly plan: RenewalPlan
  readonly failures: RetryState
  readonly served: ServedCertificates
  readonly report: AcmeReporter
}

export class AcmeIssuance {
  readonly #options: IssuanceOptions
  readonly #partialOrder: PartialOrder
  readonly #solver: ChallengeSolver
  /** The names that the attempt leaves out from the start. */
  #excluded: readonly string[] = []
  /** Issued, but not saved: another process has taken the lock. */
  #unsavedCertificate: StoredCertificate | undefined

  constructor(options: IssuanceOptions) {
    this.#options = options
    this.#partialOrder = new PartialOrder(options)
    const { listenerId, settings, host } = options
    const workers = {
      arm: async (challenges: readonly ArmedChallenge[]) => await host.arm(listenerId, challenges),
      disarm: async () => await this.#disarm(),
    }
    this.#solver = createSolver(settings.challenge, workers, host.jobs)
  }

  /** When the next attempt is due: the certificate's own time, put off by a failure; at a start, see startObstacle. */
  dueMs(reason: OrderTrigger): number {
    const { served, failures, plan, clock } = this.#options
    if (reason === 'start') {
      const waitsForCa = failures.last?.reachedCa === true && !this.#isRestDue()
      const allowedMs = clock.toWallTime(plan.startAllowedMs(served.certificate))
      return Math.max(waitsForCa ? failures.nextAttemptMs : 0, allowedMs)
    }
    if (this.#isRestDue()) return 0
    return Math.max(served.isComplete ? this.#renewAtMs() : 0, failures.nextAttemptMs)
  }

  /** Why a start would not make an attempt now: it would be one of many. */
  startObstacle(): RetryLaterError | undefined {
    try {
      this.assertDue('start')
      this.#assertStartAllowed()
      return undefined
    } catch (error) {
      if (error instanceof RetryLaterError) return error
      throw error
    }
  }

  /** Throws RetryLaterError if an attempt would have to wait. */
  assertDue(reason: OrderTrigger): void {
    if (!this.#isRestDue()) this.#options.failures.assertDue(reason)
  }

  /** Installs a new certificate. On failure: logs it, records when the next attempt is due, and throws. */
  async attempt(signal: AbortSignal, reason: OrderTrigger): Promise<void> {
    try {
      await againIfLost(async () => await this.#attemptOnce(signal, reason))
    } catch (error) {
      if (this.#unsavedCertificate === undefined || signal.aborted) throw error
      // The cache has no better certificate.
      this.#options.served.noteUnsaved(error)
      await this.#use(this.#unsavedCertificate)
    } finally {
      this.#unsavedCertificate = undefined
    }
  }

  /** Throws AcmeError, or ProxyError CACHE or CONFIG. */
  async syncContact(signal: AbortSignal): Promise<void> {
    const { settings, host, limits, authority, cache, clock } = this.#options
    const { accounts, sharedAccounts } = cache
    const order = { settings, accounts, sharedAccounts, limits, signal }
    await authority.syncContact({ ...order, host: { jobs: host.jobs, clock } })
  }

  async #attemptOnce(signal: AbortSignal, reason: OrderTrigger): Promise<void> {
    const { cache, failures } = this.#options
    this.#excluded = []
    failures.begin()
    let lock: HeldLock | undefined
    try {
      await cache.prepare()
      lock = await this.#lock(signal, reason)
      if (lock === undefined) return
      const isDone = await this.#takeOver(reason)
      await failures.reread()
      if (isDone) return
      if (this.#unsavedCertificate !== undefined) {
        await this.#keep(this.#unsavedCertificate, lock)
        return
      }
      // Before the waiting time is over, which is for new orders.
      if (failures.mayAskCa && (await this.#resume(lock, signal))) return
      this.assertDue(reason)
      if (reason === 'start') this.#assertStartAllowed()
      if (reason !== 'demand' && this.#isRestDue()) this.#excluded = failures.excludedNames
      await this.#order(lock, signal, this.#without(this.#excluded))
    } catch (cause) {
      if (signal.aborted || cause instanceof RetryLaterError) throw cause
      // A lost lock is the cause of whatever error the order ended with.
      const error: unknown = lock?.signal.aborted === true ? lock.signal.reason : cause
      const rest = this.#partialOrder.namesToRetry(error, this.#without(this.#excluded))
      await failures.noteFailed(error, this.#excluded, lock?.signal.aborted === false)
      if (lock === undefined || rest.length === 0) throw error
      await this.#orderRest(lock, signal, { error, rest })
    } finally {
      await lock?.release()
    }
  }

  /** Undefined when another process has outlasted our patience, yet left something that will do. */
  async #lock(signal: AbortSignal, reason: OrderTrigger): Promise<HeldLock | undefined> {
    const { cache, limits, report } = this.#options
    try {
      return await cache.lock({
        signal,
        waitLimitMs: limits.lockMs,
        onWaiting: (holder) => report.progress('waiting', `for ${holder}`),
      })
    } catch (error) {
      if (signal.aborted || !(await this.#takeOver(reason))) throw error
      return undefined
    }
  }

  /** True if a certificate that another process has put into the cache leaves nothing to do. */
  async #takeOver(reason: OrderTrigger): Promise<boolean> {
    const { served, plan, clock } = this.#options
    if (!(await served.takeOver())) return false
    // The other process has recorded what was issued, too.
    await plan.load()
    // A start needs no more than something to serve: the rest is ordered in the background.
    return reason === 'start' || (served.isComplete && this.#renewAtMs() > clock.nowMs())
  }

  async #order(lock: HeldLock, signal: AbortSignal, names: readonly string[]): Promise<void> {
    const { authority, report } = this.#options
    report.ordering(names)
    const issued = await authority.placeOrder({ ...this.#orderRequest(lock, signal), names })
    report.issued(issued)
    await this.#keep(issued, lock)
  }

  /** Resumes the order of an earlier attempt, which costs no new one; true if its certificate is installed. */
  async #resume(lock: HeldLock, signal: AbortSignal): Promise<boolean> {
    const { authority, report } = this.#options
    const issued = await authority.resumeRecorded(this.#orderRequest(lock, signal))
    if (issued === undefined) return false
    report.issued(issued)
    await this.#keep(issued, lock)
    return true
  }

  #orderRequest(lock: HeldLock, signal: AbortSignal): Omit<OrderRequest, 'names'> {
    const { settings, host, limits, cache, clock, served, report } = this.#options
    const assertHeld = async (): Promise<void> => await lock.assertHeld()
    return {
      settings,
      predecessor: served.certificate,
      accounts: cache.accounts.under(lock),
      orders: cache.orders.under(lock),
      sharedAccounts: cache.sharedAccounts,
      host: { jobs: host.jobs, clock },
      limits,
      signal: AbortSignal.any([signal, lock.signal]),
      solver: this.#solver,
      progress: (step, detail) => report.progress(step, detail),
      warn: (text) => report.warn(text),
      mayOrder: async () => {
        await assertHeld()
        await this.#options.failures.noteBegun(this.#excluded)
        // The note may have taken long to write.
        await assertHeld()
      },
    }
  }

  /** Saves and installs it; throws, with the certificate in hand, if another process has the lock and so decides. */
  async #keep(issued: StoredCertificate, lock: HeldLock): Promise<void> {
    const { settings, cache, failures, served } = this.#options
    if (missingNames(settings, issued).length === 0) failures.noteSuccess()
    else failures.markPartial()
    try {
      await cache.saveCertificate(issued, lock)
      served.noteSaved()
      await cache.orders.clear()
      await failures.settle()
    } catch (error) {
      if (lock.signal.aborted) {
        this.#unsavedCertificate = issued
        throw error
      }
      served.noteUnsaved(error)
    }
    await this.#use(issued)
  }

  async #use(issued: StoredCertificate): Promise<void> {
    const { plan, served, report } = this.#options
    await plan.noteIssued(issued)
    await served.install(issued)
    report.progress('issued', `until ${isoTime(issued.facts.notAfterMs)}`)
  }

  async #orderRest(lock: HeldLock, signal: AbortSignal, failed: FailedOrder): Promise<void> {
    const order = async (names: readonly string[]): Promise<void> => await this.#order(lock, signal, names)
    await this.#partialOrder.run(failed, order, AbortSignal.any([signal, lock.signal]))
  }

  async #disarm(): Promise<void> {
    const { listenerId, host, report } = this.#options
    try {
      await host.arm(listenerId, [])
    } catch (error) {
      report.error(`not disarmed: ${messageOf(error)}`)
    }
  }

  /** A start may be one of many, each with a certificate that soon was of no use. */
  #assertStartAllowed(): void {
    const { plan, served, clock } = this.#options
    assertStartAllowed(clock.nowMs(), clock.toWallTime(plan.startAllowedMs(served.certificate)))
  }

  #without(names: readonly string[]): readonly string[] {
    return this.#options.settings.domains.filter((name) => !names.includes(name))
  }

  /** Names were added to one that failed a short while ago: they do not wait for it. */
  #isRestDue(): boolean {
    const excluded = this.#options.failures.excludedNames
    return excluded.length > 0 && this.#options.served.addsNames(this.#without(excluded))
  }

  #renewAtMs(): number {
    const { plan, served } = this.#options
    return served.certificate === undefined ? 0 : plan.dueMs(served.certificate)
  }
}
