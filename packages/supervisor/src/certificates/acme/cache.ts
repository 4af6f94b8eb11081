// The content of one listener's cache directory, as its configuration sees it: the usable certificate, the last
// failure that still counts, and the accounts.
import type { AcmeSettings } from '@reverse-proxy/shared/config/config'
import { accountIdOf } from '../acme-client/account.ts'
import { AccountStore, SharedAccounts } from './account-store.ts'
import type { RenewalClock } from '../renewal/renewal-clock.ts'
import { missingNames } from './coverage.ts'
import type {
  CertificateStorage,
  Exposure,
  HeldLock,
  LockOptions,
  OnQuarantined,
  PairInspector,
} from '../storage/storage.ts'
import type { FailureRecord } from '../renewal/failure-record.ts'
import { failureAsOf, shifted } from '../renewal/failure-record.ts'
import { FailureStore } from '../renewal/failure-store.ts'
import { carriedOver } from '../renewal/failure-record.ts'
import { OrderStore } from './order-store.ts'
import type { StoredCertificate } from '../certificate.ts'

export interface AcmeCacheOptions {
  readonly settings: AcmeSettings
  readonly storage: CertificateStorage
  /** The machine's, for its accounts at CAs; undefined: the cache has an account of its own. */
  readonly state: CertificateStorage | undefined
  readonly clock: Pick<RenewalClock, 'monotonicMs' | 'wallOffsetMs'>
  readonly inspect: PairInspector
  readonly onQuarantined: OnQuarantined
  readonly onExposed: (exposure: Exposure) => void
}

export class AcmeCache {
  readonly accounts: AccountStore
  /** Its order that is under way. */
  readonly orders: OrderStore
  /** The machine's; undefined where there is no place for them. */
  readonly sharedAccounts: SharedAccounts | undefined
  readonly #options: AcmeCacheOptions
  readonly #failures: FailureStore

  constructor(options: AcmeCacheOptions) {
    const { onQuarantined, settings, storage, state } = options
    this.#options = options
    this.accounts = new AccountStore(storage, onQuarantined)
    this.orders = new OrderStore(storage, onQuarantined)
    this.sharedAccounts =
      state === undefined ? undefined : new SharedAccounts(state, accountIdOf(settings), onQuarantined)
    this.#failures = new FailureStore(storage, onQuarantined)
  }

  /** Throws CACHE when it cannot be locked, or the holder outlasts the limit. */
  async lock(options: LockOptions): Promise<HeldLock> {
    return await this.#options.storage.lock(options)
  }

  /** Where the failure is recorded: removing the file allows an attempt at once. */
  get failurePath(): string {
    return this.#failures.path
  }

  /** Closes to others what they could get at, and tells of it. Throws CACHE where it is no cache. */
  async secure(): Promise<void> {
    const exposures = await this.#options.storage.secure()
    exposures.forEach(this.#options.onExposed)
  }

  /** Finds out, before anything is ordered, whether a certificate could be saved. Throws CACHE. */
  async prepare(): Promise<void> {
    await this.#options.storage.certificates.prepare()
  }

  /** The cached certificates, expired or not, that cover any of our names: the current one first. Throws CACHE. */
  async readCertificates(): Promise<readonly StoredCertificate[]> {
    const { inspect, onQuarantined, settings } = this.#options
    const { certificates, quarantined } = await this.#options.storage.certificates.loadAll(inspect)
    quarantined.forEach(onQuarantined)
    return certificates.filter((one) => missingNames(settings, one).length < settings.domains.length)
  }

  async saveCertificate(certificate: StoredCertificate, lock: Pick<HeldLock, 'assertHeld'>): Promise<void> {
    await this.#options.storage.certificates.save(certificate, lock)
  }

  /** The last attempt's failure, if it means anything for these names at this CA; with steady times. Throws CACHE. */
  async readFailure(): Promise<FailureRecord | undefined> {
    const { clock, settings } = this.#options
    const written = await this.#failures.load()
    if (written === undefined) return undefined
    const recorded = shifted(written, -clock.wallOffsetMs)
    const record = failureAsOf(recorded, clock.monotonicMs())
    // Save the corrected time, or each restart would move it. Placing an order saves it again, and reports an error.
    if (record !== recorded) await this.saveFailure(record).catch(() => {})
    const { directoryUrl, domains: names } = settings
    return carriedOver(record, { directoryUrl, names }, clock.monotonicMs())
  }

  /** Throws CACHE. */
  async saveFailure(record: FailureRecord): Promise<void> {
    await this.#failures.save(shifted(record, this.#options.clock.wallOffsetMs))
  }

  async clearFailure(): Promise<void> {
    await this.#failures.clear()
  }
}
