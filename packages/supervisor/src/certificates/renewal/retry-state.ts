// Retry state of one listener: the time of the next attempt and the names excluded from it, kept across restarts.
// Makes no attempt. Waits are measured by the monotonic clock, so setting the clock does not change them.
import type { AcmeSettings } from '@reverse-proxy/shared/config/config'
import { messageOf } from '@reverse-proxy/shared/error-text'
import { AcmeError } from '../acme-client/transport/problem.ts'
import type { OrderTrigger } from './order-trigger.ts'
import { assertDue } from './order-trigger.ts'
import type { RenewalClock } from './renewal-clock.ts'
import type { FailureRecord, OrderSubject } from './failure-record.ts'
import { nextFailure, shifted } from './failure-record.ts'
import { excludedNames } from './failure-record.ts'
import type { Validity } from '../crypto/inspect.ts'

/** Where the last failure is kept. Times are steady. */
interface FailureCache {
  /** For people: removing it allows an attempt at once. */
  readonly failurePath: string
  /** The last failure, if it still counts. Throws CACHE. */
  readFailure(): Promise<FailureRecord | undefined>
  /** Throws CACHE. */
  saveFailure(record: FailureRecord): Promise<void>
  /** Throws CACHE. */
  clearFailure(): Promise<void>
}

interface FailureReporter {
  /** @param isServing the listener has a good certificate meanwhile */
  failed(record: FailureRecord, isServing: boolean): void
  error(text: string): void
}

export interface RetryStateOptions {
  readonly settings: AcmeSettings
  readonly cache: FailureCache
  readonly clock: RenewalClock
  readonly report: FailureReporter
  /** Validity of the certificate in service. */
  readonly validity: () => Validity | undefined
}

interface Beginning {
  readonly record: FailureRecord
  /** The record before the attempt. */
  readonly before: FailureRecord | undefined
}

export class RetryState {
  readonly #options: RetryStateOptions
  readonly #order: OrderSubject
  #last: FailureRecord | undefined
  /** Recorded while the order of the attempt runs. */
  #begun: Beginning | undefined
  /** #begun, of the attempt before. */
  #earlier: Beginning | undefined
  /** #begun, if another process has taken the lock. */
  #lost: Beginning | undefined

  constructor(options: RetryStateOptions) {
    const { directoryUrl, domains } = options.settings
    this.#options = options
    this.#order = { directoryUrl, names: domains }
  }

  /** The last failed attempt, in wall-clock time; undefined if the last attempt succeeded. */
  get last(): FailureRecord | undefined {
    return this.#last && shifted(this.#last, this.#options.clock.wallOffsetMs)
  }

  /** When the next attempt may be made, by the certificates' clock; 0: at any time. */
  get nextAttemptMs(): number {
    return this.#last === undefined ? 0 : this.#options.clock.toWallTime(this.#last.nextAttemptMs)
  }

  /** When names were last left out of an order; a steady time. */
  get leftOutAtMs(): number | undefined {
    return this.#last?.leftOutAtMs
  }

  /** The names that have failed in another order, and are not due yet. */
  get excludedNames(): readonly string[] {
    return excludedNames(this.#last, this.#order, this.#options.clock.monotonicMs())
  }

  /** Throws CACHE. */
  async load(): Promise<void> {
    this.#last = await this.#options.cache.readFailure()
  }

  /** Whether the time that the CA has asked for is over. */
  get mayAskCa(): boolean {
    const { caWaitUntilMs = -Infinity } = this.#last ?? {}
    return this.#options.clock.monotonicMs() >= caWaitUntilMs
  }

  /** Throws RetryLaterError if an attempt would have to wait. */
  assertDue(reason: OrderTrigger): void {
    const { cache, clock } = this.#options
    const nowMs = clock.toWallTime(clock.monotonicMs())
    assertDue(reason, { failure: this.last, nowMs, path: cache.failurePath })
  }

  /** An attempt begins. */
  begin(): void {
    this.#earlier = this.#begun
    this.#begun = undefined
  }

  /** It has the lock now: another process may have noted something. Throws CACHE. */
  async reread(): Promise<void> {
    const recorded = await this.#options.cache.readFailure()
    if (isSame(recorded, this.#lost?.record)) {
      // The beginning of an order that lost the lock is no failure of anybody's.
      this.#last = this.#lost?.before
    } else if (!isSame(recorded, this.#earlier?.record)) {
      // Otherwise what came of it could not be written down, but is known.
      this.#last = recorded
    }
    this.#lost = undefined
  }

  /**
   * An order counts at the CA from its first request on: one that is cut short, by a signal or a power cut,
   * has failed, or a restart loop would order each time. The first in a row may be placed again at once.
   * Throws CACHE: what cannot be noted is not ordered.
   */
  async noteBegun(excluded: readonly string[]): Promise<void> {
    if (this.#begun !== undefined) return
    const before = this.#last
    const cutShort = this.#recordOf(new AcmeError('the order was cut short', { reachedCa: true }), excluded)
    const record = before === undefined ? { ...cutShort, nextAttemptMs: cutShort.failedAtMs } : cutShort
    this.#begun = { record, before }
    await this.#options.cache.saveFailure(record)
  }

  /** Never rejects. Without the lock nothing is saved: its holder records its own failures. */
  async noteFailed(error: unknown, excluded: readonly string[], hasLock: boolean): Promise<void> {
    const { cache, clock, report, validity } = this.#options
    this.#last = this.#recordOf(error, excluded)
    const isServing = (validity()?.notAfterMs ?? 0) > clock.nowMs()
    report.failed(this.last ?? this.#last, isServing)
    if (!hasLock) {
      this.#lost = this.#begun
      return
    }
    try {
      await cache.saveFailure(this.#last)
    } catch (cause) {
      report.error(`the failure is not recorded: ${messageOf(cause)}`)
    }
  }

  /** Another order of the same attempt, without the names that failed, has failed as well. */
  noteFurther(error: unknown): void {
    const last = this.#last
    if (last === undefined) return
    const further = this.#recordOf(error, last.failedNames, { ...last, failures: last.failures - 1 })
    this.#last = {
      ...last,
      failedNames: further.failedNames,
      reason: `${last.reason}; ${further.reason}`,
      nextAttemptMs: Math.max(last.nextAttemptMs, further.nextAttemptMs),
      caWaitUntilMs: further.caWaitUntilMs ?? last.caWaitUntilMs,
    }
  }

  /** The names that failed have been left out; what is known of them is about the whole order. */
  markPartial(): void {
    if (this.#last === undefined) return
    this.#last = { ...this.#last, ...this.#order, leftOutAtMs: this.#options.clock.monotonicMs() }
  }

  /** The attempt has got all that it was for. */
  noteSuccess(): void {
    this.#last = undefined
  }

  /** Replaces the record that was saved when the order began. Throws CACHE. */
  async settle(): Promise<void> {
    const { cache } = this.#options
    if (this.#last === undefined) await cache.clearFailure()
    else await cache.saveFailure(this.#last)
  }

  #recordOf(
    error: unknown,
    excluded: readonly string[],
    // A certificate that was issued but cannot be used is a failure.
    previous = this.#last ?? this.#begun?.before,
  ): FailureRecord {
    const { clock, validity } = this.#options
    return nextFailure(error, {
      order: this.#order,
      excluded,
      previous,
      validity: validity(),
      isOrdered: this.#begun !== undefined,
      nowMs: clock.monotonicMs(),
      certificateTimeMs: clock.nowMs(),
      jitter: Math.random(),
    })
  }
}

function isSame(a: FailureRecord | undefined, b: FailureRecord | undefined): boolean {
  return a?.failedAtMs === b?.failedAtMs && a?.reason === b?.reason
}
