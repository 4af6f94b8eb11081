// One listener's ACME certificate: found in the cache, ordered when it must be, renewed in the background.
// Decides what happens at the start and in renewals. issuance.ts makes the attempts, plan.ts computes when the next one
// is due, and cache.ts reads and writes the cache directory.
import type { AcmeSettings } from '@reverse-proxy/shared/config/config'
import { messageOf } from '@reverse-proxy/shared/error-text'
import { ProxyError } from '@reverse-proxy/shared/errors'
import type { PushedCertificate } from '@reverse-proxy/shared/ipc/messages'
import { AcmeCache } from './cache.ts'
import { AcmeIssuance } from './issuance.ts'
import { ServedCertificates } from './served-certificates.ts'
import { ACME_LIMITS } from '../acme-client/transport/time-limits.ts'
import { AcmeReporter } from './reporter.ts'
import type { OrderTrigger } from '../renewal/order-trigger.ts'
import { RetryLaterError } from '../renewal/order-trigger.ts'
import { ACME_AUTHORITY } from '../acme-client/certificate-authority.ts'
import { RenewalClock } from '../renewal/renewal-clock.ts'
import { missingNames, toPushedTogether } from './coverage.ts'
import { ExpiryWatch } from '../renewal/expiry-log.ts'
import { RetryState } from '../renewal/retry-state.ts'
import type { CertificateServices } from '../services.ts'
import type { CertificateManager } from '../manager.ts'
import { STOPPING } from '../manager.ts'
import type { OnQuarantined, StorageOpener } from '../storage/storage.ts'
import { RenewalLoop } from '../renewal/loop.ts'
import { RenewalPlan } from '../renewal/plan.ts'
import { RenewalStore } from '../renewal/renewal-record.ts'
import type { ManagerStatus } from '../status.ts'

export class AcmeManager implements CertificateManager {
  readonly listenerId: string
  readonly loop: RenewalLoop
  readonly #settings: AcmeSettings
  readonly #host: CertificateServices
  readonly #clock: RenewalClock
  readonly #plan: RenewalPlan
  readonly #expiry: ExpiryWatch
  readonly #served: ServedCertificates
  readonly #failures: RetryState
  readonly #issuance: AcmeIssuance
  readonly #report: AcmeReporter
  readonly #closing = new AbortController()

  /** Why the cache could not be read. */
  #loadError: unknown
  /** An attempt has ended: from then on the retry schedule alone counts. */
  #hasTried = false
  /** The attempt or the background loop under way. */
  #work: Promise<void> = Promise.resolve()

  constructor(
    listenerId: string,
    settings: AcmeSettings,
    host: CertificateServices & StorageOpener,
    limits = ACME_LIMITS,
    authority = ACME_AUTHORITY,
  ) {
    this.listenerId = listenerId
    this.#settings = settings
    this.#host = host
    const { jobs, log } = host
    const report = new AcmeReporter(listenerId, settings, host)
    this.#report = report
    const clock = new RenewalClock(host.clock)
    this.#clock = clock
    const onQuarantined: OnQuarantined = (quarantined) => report.quarantined(quarantined)
    const storage = host.openStorage(settings.cacheDir)
    const cache = new AcmeCache({
      settings,
      storage,
      state: host.stateDir === undefined ? undefined : host.openStorage(host.stateDir),
      clock,
      inspect: async (pair) => await jobs.run('inspectPair', pair, this.#closing.signal),
      onQuarantined,
      onExposed: (exposure) => report.exposed(exposure),
    })
    this.#expiry = new ExpiryWatch(listenerId, { log, clock, counts: host.counts })
    const plan = new RenewalPlan({
      listenerId,
      directoryUrl: settings.directoryUrl,
      store: new RenewalStore(storage, onQuarantined),
      clock,
      log,
      ask: async ({ certPem }, signal) =>
        await authority.askRenewalInfo({ settings, certPem, clock, jobs, limits, signal }),
    })
    this.#plan = plan
    const shared = { listenerId, settings, host, limits, cache, clock, report }
    const served = new ServedCertificates(shared)
    this.#served = served
    this.#failures = new RetryState({ ...shared, validity: () => served.certificate?.facts })
    this.#issuance = new AcmeIssuance({ ...shared, authority, plan, served, failures: this.#failures })
    const nextMs = (): number => this.#nextMs()
    const turn = async (demanded: boolean): Promise<boolean> => await this.#turn(demanded)
    const { signal } = this.#closing
    this.loop = new RenewalLoop({ listenerId, clock, log, nextMs, turn }, signal)
  }

  async load(previous?: CertificateManager): Promise<void> {
    try {
      await this.#served.load(previous instanceof AcmeManager ? previous.#served.all : [])
      await this.#failures.load()
      await this.#plan.load()
      this.#loadError = undefined
    } catch (error) {
      this.#loadError = error
      throw error
    }
  }

  current(): readonly PushedCertificate[] {
    return toPushedTogether(this.#settings.domains, this.#served.all)
  }

  needsOrder(): boolean {
    return this.#served.needsOrder
  }

  obstacle(): unknown {
    return this.#loadError ?? this.#issuance.startObstacle()
  }

  isComplete(): boolean {
    return this.#served.isComplete
  }

  status(): ManagerStatus {
    const { certificate, all, unsaved } = this.#served
    return {
      listenerId: this.listenerId,
      mode: 'acme',
      certificates: all.map(({ facts }) => facts),
      missing: missingNames(this.#settings, ...all),
      nextAttemptMs: this.#issuance.dueMs(this.#reason),
      renewalWindow: certificate === undefined ? undefined : this.#plan.agreed(certificate)?.window,
      failure: this.#failures.last,
      unsaved,
    }
  }

  /** One attempt, as a start makes it, by itself: what `start` begins does the same and goes on. */
  async acquire(signal: AbortSignal): Promise<void> {
    const work = this.#issuance.attempt(AbortSignal.any([signal, this.#closing.signal]), 'start')
    this.#work = work.catch(() => {})
    await work
  }

  start(pauseMs?: number): void {
    if (this.#loadError !== undefined) void this.#failures.noteFailed(this.#loadError, [], false)
    this.#work = this.#run(pauseMs)
  }

  async renew(): Promise<void> {
    this.#issuance.assertDue('demand')
    await this.loop.demand()
  }

  async close(reason = STOPPING): Promise<void> {
    this.#closing.abort(new ProxyError('ACME', reason))
    await this.#work
  }

  async #run(pauseMs: number | undefined): Promise<void> {
    await Promise.all([this.loop.run(pauseMs), this.#syncContact()])
  }

  /** Sends a changed contact to the CA now, since the next order may be months away. That one tries again. Never rejects. */
  async #syncContact(): Promise<void> {
    const { signal } = this.#closing
    try {
      await this.#issuance.syncContact(signal)
    } catch (error) {
      if (signal.aborted) return
      this.#report.contactNotChanged(messageOf(error))
    }
  }

  /** When there is something to do: an attempt, a question to the CA, a look at the expiry. */
  #nextMs(): number {
    const { certificate, all, saveDueMs } = this.#served
    const dueMs = this.#issuance.dueMs(this.#reason)
    if (certificate === undefined) return dueMs
    const looks = all.map(({ facts }) => this.#expiry.nextLookMs(facts))
    return Math.min(dueMs, saveDueMs, this.#plan.nextLookMs(certificate), ...looks)
  }

  async #turn(demanded: boolean): Promise<boolean> {
    const { signal } = this.#closing
    const issuance = this.#issuance
    if (this.#loadError !== undefined) await this.#loadAgain()
    if (this.#clock.nowMs() >= this.#served.saveDueMs) await this.#served.saveAgain(signal)
    const nowMs = this.#clock.nowMs()
    const isDue = nowMs >= issuance.dueMs(this.#reason)
    const { certificate } = this.#served
    for (const { facts } of this.#served.all) this.#expiry.look(facts)
    if (isDue || demanded) await this.#attempt(isDue ? this.#reason : 'demand')
    else if (certificate !== undefined && nowMs >= this.#plan.nextLookMs(certificate))
      await this.#plan.look(certificate, signal)
    return isDue || demanded
  }

  /** Before the first attempt, with nothing to serve, the rules of a start hold. */
  get #reason(): OrderTrigger {
    const isStart = this.#served.needsOrder && !this.#hasTried && this.#loadError === undefined
    return isStart ? 'start' : 'renewal'
  }

  async #attempt(reason: OrderTrigger): Promise<void> {
    try {
      await this.#issuance.attempt(this.#closing.signal, reason)
      this.#hasTried = true
    } catch (error) {
      if (!(error instanceof RetryLaterError)) this.#hasTried = true
      throw error
    }
  }

  /** Reads the cache directory again after an error: the operator may have repaired it. */
  async #loadAgain(): Promise<void> {
    try {
      await this.load()
      if (!this.needsOrder()) await this.#host.publish(this.listenerId, this.current())
    } catch (error) {
      await this.#failures.noteFailed(error, [], false)
      throw error
    }
  }
}
