// When one listener's certificate is renewed, as far as the CA has a say in it: asks the CA (RFC 9773),
// draws a moment of its window once, and keeps it; and keeps account of what has been issued. The arithmetic is
// ari.ts, renewal.ts and issuance-limit.ts; orders and failed orders are the manager's.
import { isoTime } from '@reverse-proxy/shared/clock'
import { messageOf } from '@reverse-proxy/shared/error-text'
import type { Log } from '@reverse-proxy/shared/log-fields'
import { AcmeError } from '../acme-client/transport/problem.ts'
import type { RenewalResponse } from '../acme-client/renewal-info.ts'
import type { RenewalInfo } from './ari.ts'
import { chooseTime, longestPauseMs, parseRenewalInfo, pauseMs } from './ari.ts'
import type { RenewalClock } from './renewal-clock.ts'
import { budgetAllowsMs, issuedAsOf, startAllowedMs, withIssued } from './issuance-limit.ts'
import type { RenewalRecord, RenewalStore } from './renewal-record.ts'
import { backstopAtMs, jitterOf, renewAtMs } from './schedule.ts'
import type { StoredCertificate } from '../certificate.ts'

export interface RenewalPlanOptions {
  readonly listenerId: string
  /** Directory URL of the configured CA; certificates of other CAs are not its concern. */
  readonly directoryUrl: string
  readonly store: RenewalStore
  readonly clock: Pick<RenewalClock, 'nowMs' | 'monotonicMs' | 'toWallTime' | 'wallOffsetMs'>
  readonly log: Log
  /** Asks the CA, as renewal-info.ts does. */
  readonly ask: (certificate: StoredCertificate, signal: AbortSignal) => Promise<RenewalResponse | undefined>
}

export class RenewalPlan {
  readonly #options: RenewalPlanOptions
  /** `issuedMs` in monotonic time. */
  #record: RenewalRecord | undefined
  /** `issuedMs` as this process saved it last, in wall-clock time. */
  #savedMs: readonly number[] = []

  constructor(options: RenewalPlanOptions) {
    this.#options = options
  }

  /** Reads the record that a previous run has saved; never rejects. */
  async load(): Promise<void> {
    const { store, clock } = this.#options
    try {
      const record = await store.load()
      if (record === undefined) return
      // Its own times are known better here: the clock may have been set since they were saved.
      if (this.#record !== undefined && record.issuedMs.join() === this.#savedMs.join()) {
        this.#record = { ...record, issuedMs: this.#record.issuedMs }
        return
      }
      const issuedMs = record.issuedMs.map((timeMs) => timeMs - clock.wallOffsetMs)
      this.#record = { ...record, issuedMs: issuedAsOf(issuedMs, clock.monotonicMs()) }
      // Save the corrected times, or each restart would move them.
      if ((issuedMs.at(-1) ?? 0) > clock.monotonicMs()) await this.#keep(this.#record)
    } catch (error) {
      this.#options.log.warn('CERT_RENEWAL_INFO', { ...this.#listener(), error: messageOf(error) })
    }
  }

  /**
   * When `certificate` is due: at our moment of the CA's window, or by the lifetime rule, whichever is first; but
   * not while more than enough has been issued.
   */
  dueMs(certificate: StoredCertificate): number {
    const { facts } = certificate
    return Math.max(this.#wantedMs(certificate), this.#allowedMs(facts.notAfterMs - facts.notBeforeMs))
  }

  /** Earliest monotonic time (ms) at which a start without a valid certificate may place an order. */
  startAllowedMs(expired: StoredCertificate | undefined): number {
    const { clock } = this.#options
    const lifetimeMs = expired === undefined ? Infinity : expired.facts.notAfterMs - expired.facts.notBeforeMs
    return startAllowedMs(this.#record?.issuedMs ?? [], lifetimeMs, clock.monotonicMs())
  }

  #wantedMs({ facts, obtainedMs: notedMs }: StoredCertificate): number {
    const nowMs = this.#options.clock.nowMs()
    // One that came in the future came under another clock, and needs no rest.
    const obtainedMs = notedMs <= nowMs ? notedMs : facts.notBeforeMs
    const ruleMs = renewAtMs(facts, obtainedMs, jitterOf(facts.serial))
    const { chosenMs } = this.#recordOf(facts.serial) ?? {}
    if (chosenMs === undefined) return ruleMs
    const backstopMs = backstopAtMs(facts, obtainedMs)
    if (chosenMs >= ruleMs) return Math.min(chosenMs, backstopMs)
    // A window may hurry us as far as the CA's own limit allows.
    return Math.min(Math.max(chosenMs, this.#allowedMs(Infinity)), ruleMs)
  }

  #allowedMs(lifetimeMs: number): number {
    return this.#options.clock.toWallTime(budgetAllowsMs(this.#record?.issuedMs ?? [], lifetimeMs))
  }

  /** When the CA is to be asked about `certificate`; Infinity if it is not its own, or past help. */
  nextLookMs({ origin, facts }: StoredCertificate): number {
    const nowMs = this.#options.clock.nowMs()
    if (origin !== this.#options.directoryUrl || nowMs >= facts.notAfterMs) return Infinity
    const lookMs = this.#recordOf(facts.serial)?.nextLookMs ?? 0
    return lookMs > nowMs + longestPauseMs(facts) ? nowMs : lookMs
  }

  /** The renewal window that the CA suggested for `certificate`, and the moment chosen in it. */
  agreed({
    facts,
  }: StoredCertificate): Pick<RenewalRecord, 'window' | 'chosenMs' | 'explanationUrl'> | undefined {
    const record = this.#recordOf(facts.serial)
    return record?.window === undefined ? undefined : record
  }

  /** Asks the CA. Rejects only when `signal` is aborted. */
  async look(certificate: StoredCertificate, signal: AbortSignal): Promise<void> {
    // Another process on the same directory may just have asked.
    await this.load()
    if (this.nextLookMs(certificate) > this.#options.clock.nowMs()) return
    let retryAfterMs: number | undefined
    let info: RenewalInfo | string | undefined
    try {
      const answer = await this.#options.ask(certificate, signal)
      retryAfterMs = answer?.retryAfterMs
      info = answer === undefined ? undefined : parseRenewalInfo(answer.data)
    } catch (error) {
      signal.throwIfAborted()
      retryAfterMs = error instanceof AcmeError ? error.retryAfterMs : undefined
      info = messageOf(error)
    }
    await this.#note(certificate, info, retryAfterMs)
  }

  /** Records that a certificate was issued, and drops the window of the previous one. */
  async noteIssued({ facts }: StoredCertificate): Promise<void> {
    const { clock } = this.#options
    // Another process on the same directory may have had one issued.
    await this.load()
    await this.#keep({
      serial: facts.serial,
      window: undefined,
      chosenMs: undefined,
      explanationUrl: undefined,
      nextLookMs: clock.nowMs(),
      failures: 0,
      issuedMs: withIssued(this.#record?.issuedMs ?? [], clock.monotonicMs()),
    })
  }

  /** `info`: what the CA suggests, why that cannot be used, or undefined if it suggests nothing to anybody. */
  async #note(
    { facts, obtainedMs }: StoredCertificate,
    info: RenewalInfo | string | undefined,
    retryAfterMs: number | undefined,
  ): Promise<void> {
    const { clock, log } = this.#options
    const before = this.#recordOf(facts.serial)
    const failures = typeof info === 'string' ? (before?.failures ?? 0) + 1 : 0
    const kept = { serial: facts.serial, issuedMs: this.#record?.issuedMs ?? [] }
    const timing = { failures, nextLookMs: clock.nowMs() + pauseMs(retryAfterMs, failures, facts) }
    if (typeof info === 'string') {
      // Keep the last agreement until the CA is available again.
      const { window, chosenMs, explanationUrl } = before ?? {}
      if (failures === 1) log.warn('CERT_RENEWAL_INFO', { ...this.#listener(), error: info })
      await this.#keep({ ...kept, ...timing, window, chosenMs, explanationUrl })
      return
    }
    const { window, explanationUrl } = info ?? {}
    const isSame = window?.startMs === before?.window?.startMs && window?.endMs === before?.window?.endMs
    const latestMs = backstopAtMs(facts, obtainedMs)
    const drawnMs = window === undefined ? undefined : chooseTime(window, latestMs, Math.random())
    const chosenMs = isSame ? before?.chosenMs : drawnMs
    await this.#keep({ ...kept, ...timing, window, chosenMs, explanationUrl })
    if (isSame) return
    log.info('CERT_RENEWAL_INFO', {
      ...this.#listener(),
      serial: facts.serial,
      window_start: dateOf(window?.startMs),
      window_end: dateOf(window?.endMs),
      renew_at: dateOf(chosenMs),
      explanation: explanationUrl,
    })
  }

  async #keep(record: RenewalRecord): Promise<void> {
    const { store, clock } = this.#options
    this.#record = record
    this.#savedMs = record.issuedMs.map((timeMs) => clock.toWallTime(timeMs))
    try {
      await store.save({ ...record, issuedMs: this.#savedMs })
    } catch (error) {
      // It is known as long as we run; a restart would ask once more.
      this.#options.log.warn('CERT_RENEWAL_INFO', { ...this.#listener(), error: messageOf(error) })
    }
  }

  #recordOf(serial: string): RenewalRecord | undefined {
    return this.#record?.serial === serial ? this.#record : undefined
  }

  #listener(): { readonly listener: string } {
    return { listener: this.#options.listenerId }
  }
}

function dateOf(timeMs: number | undefined): string | undefined {
  return timeMs === undefined ? undefined : isoTime(timeMs)
}
