// The certificates of one ACME listener: the renewed one, and older ones for names that it lacks.
// Read from the cache, handed on by reloads, published, and saved as soon as that is possible. Orders nothing.
import type { AcmeSettings } from '@reverse-proxy/shared/config/config'
import { messageOf } from '@reverse-proxy/shared/error-text'
import { HOUR_MS } from '@reverse-proxy/shared/time-units'
import type { AcmeCache } from './cache.ts'
import type { AcmeLimits } from '../acme-client/transport/time-limits.ts'
import type { AcmeReporter } from './reporter.ts'
import type { RenewalClock } from '../renewal/renewal-clock.ts'
import { chooseServed, mayReplace, missingNames, olderInService, toPushedTogether } from './coverage.ts'
import type { CertificateServices } from '../services.ts'
import type { HeldLock } from '../storage/storage.ts'
import type { UnsavedStatus } from '../status.ts'
import type { StoredCertificate } from '../certificate.ts'

export interface ServedCertificatesOptions {
  readonly listenerId: string
  readonly settings: AcmeSettings
  readonly host: Pick<CertificateServices, 'publish'>
  readonly limits: AcmeLimits
  readonly cache: AcmeCache
  readonly clock: RenewalClock
  readonly report: AcmeReporter
}

/** A served certificate that could not be saved and would be lost by a restart. */
interface Unsaved {
  readonly reason: string
  /** When it is to be saved; a steady time. */
  readonly dueMs: number
}

const SAVE_AGAIN_MS = HOUR_MS

export class ServedCertificates {
  readonly #options: ServedCertificatesOptions
  #certificate: StoredCertificate | undefined
  /** Those that still serve the names which it lacks. */
  #older: readonly StoredCertificate[] = []
  #unsaved: Unsaved | undefined

  constructor(options: ServedCertificatesOptions) {
    this.#options = options
  }

  /** All that is served: `certificate` first. */
  get all(): readonly StoredCertificate[] {
    return this.#certificate === undefined ? [] : [this.#certificate, ...this.#older]
  }

  /** The certificate to renew. */
  get certificate(): StoredCertificate | undefined {
    return this.#certificate
  }

  /** Why the served certificate could not be saved, and when the next try is due (wall clock). */
  get unsaved(): UnsavedStatus | undefined {
    if (this.#unsaved === undefined) return undefined
    const { reason, dueMs } = this.#unsaved
    return { reason, nextTryMs: this.#options.clock.toWallTime(dueMs) }
  }

  /** When to save the served certificate again; Infinity if it is saved. */
  get saveDueMs(): number {
    return this.#unsaved === undefined ? Infinity : this.#options.clock.toWallTime(this.#unsaved.dueMs)
  }

  /** Nothing can be served as it should be. */
  get needsOrder(): boolean {
    return this.#certificate === undefined || !this.#isUnexpired(this.#certificate)
  }

  /** The certificate is of the CA that is configured, and has every name. */
  get isComplete(): boolean {
    const { settings } = this.#options
    if (this.#certificate?.origin !== settings.directoryUrl) return false
    return missingNames(settings, this.#certificate).length === 0
  }

  /** A certificate of `names` would have one that nothing here has. */
  addsNames(names: readonly string[]): boolean {
    const missing = missingNames(this.#options.settings, ...this.all)
    return names.some((name) => missing.includes(name))
  }

  /** Reads the cache. Certificates of `inherited`, which are served, stay if they are newer or add a name. Throws CACHE. */
  async load(inherited: readonly StoredCertificate[]): Promise<void> {
    const { settings, cache, clock, report } = this.#options
    await cache.secure()
    const cached = await cache.readCertificates()
    const own = chooseServed(settings, { cached, inherited, nowMs: clock.nowMs() })
    this.#certificate = own
    this.#older = own === undefined ? [] : this.#olderThan(own, [...cached, ...inherited])
    const isSaved = own === undefined || cached.some(({ facts }) => facts.serial === own.facts.serial)
    this.#unsaved = isSaved ? undefined : { reason: 'a reload came first', dueMs: clock.monotonicMs() }
    this.all.forEach((certificate) => report.loaded(certificate))
    if (own !== undefined) report.missing(this.all)
  }

  /** Serves a better certificate that another process has put into the cache; false if there is none. */
  async takeOver(): Promise<boolean> {
    const { settings, cache, clock, report } = this.#options
    const all = await cache.readCertificates()
    const { domains } = settings
    const present = this.#certificate
    const nowMs = clock.nowMs()
    // Ours may be newer than the cache, if it could not be saved. Cached certificates listed after ours are older.
    const ours = all.findIndex(({ facts }) => facts.serial === present?.facts.serial)
    const cached = all
      .slice(0, ours < 0 ? undefined : ours)
      .filter((one) => this.#isUnexpired(one))
      .find((one) => present === undefined || mayReplace(one, { domains, present, nowMs }))
    if (cached === undefined) return false
    report.loaded(cached)
    await this.#publish(cached, all)
    this.#unsaved = undefined
    report.missing(this.all)
    return true
  }

  /** Serves a new certificate from the next handshake on, and beside it whatever is still needed. */
  async install(certificate: StoredCertificate): Promise<void> {
    await this.#publish(certificate, [])
    this.#options.report.missing(this.all)
  }

  noteSaved(): void {
    this.#unsaved = undefined
  }

  /** Records that a certificate is served although it could not be saved. Saving is tried again later. */
  noteUnsaved(error: unknown): void {
    const { clock, report } = this.#options
    const reason = messageOf(error)
    this.#unsaved = { reason, dueMs: clock.monotonicMs() + SAVE_AGAIN_MS }
    report.error(`issued but not saved: ${reason}`)
  }

  /** Saves the served certificate for the next start. Logs a failure and schedules the next try; never rejects. */
  async saveAgain(signal: AbortSignal): Promise<void> {
    const { cache, limits } = this.#options
    const certificate = this.#certificate
    let lock: HeldLock | undefined
    try {
      await cache.prepare()
      lock = await cache.lock({ signal, waitLimitMs: limits.lockMs, onWaiting: () => {} })
      const cached = await cache.readCertificates()
      // A certificate that another process saved meanwhile is taken over with the next attempt.
      const isNeeded =
        certificate !== undefined &&
        cached.every(({ facts }) => facts.notBeforeMs <= certificate.facts.notBeforeMs)
      if (isNeeded) await cache.saveCertificate(certificate, lock)
      this.#unsaved = undefined
    } catch (error) {
      if (!signal.aborted) this.noteUnsaved(error)
    } finally {
      await lock?.release()
    }
  }

  async #publish(certificate: StoredCertificate, others: readonly StoredCertificate[]): Promise<void> {
    const { listenerId, settings, host } = this.#options
    const older = this.#olderThan(certificate, [...this.all, ...others])
    await host.publish(listenerId, toPushedTogether(settings.domains, [certificate, ...older]))
    this.#certificate = certificate
    this.#older = older
  }

  #olderThan(certificate: StoredCertificate, others: readonly StoredCertificate[]): StoredCertificate[] {
    const { settings, clock } = this.#options
    return olderInService(settings.domains, certificate, others, clock.nowMs())
  }

  #isUnexpired({ facts }: StoredCertificate): boolean {
    return facts.notAfterMs > this.#options.clock.nowMs()
  }
}
