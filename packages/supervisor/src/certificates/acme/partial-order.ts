// One bad name never takes the others down: an order that failed for some names is repeated without them,
// within the same attempt, where that is worth an order.
import type { AcmeSettings } from '@reverse-proxy/shared/config/config'
import { messageOf } from '@reverse-proxy/shared/error-text'
import { AcmeError, combineErrors } from '../acme-client/transport/problem.ts'
import type { AcmeReporter } from './reporter.ts'
import type { RenewalClock } from '../renewal/renewal-clock.ts'
import type { RetryState } from '../renewal/retry-state.ts'
import type { RenewalPlan } from '../renewal/plan.ts'
import { mayLeaveOut } from '../renewal/schedule.ts'
import type { ServedCertificates } from './served-certificates.ts'

export interface PartialOrderOptions {
  readonly settings: AcmeSettings
  readonly clock: RenewalClock
  readonly plan: RenewalPlan
  readonly failures: RetryState
  readonly served: ServedCertificates
  readonly report: AcmeReporter
}

/** An order that failed. */
export interface FailedOrder {
  readonly error: unknown
  /** The names left to order without the failed ones. */
  readonly rest: readonly string[]
}

/**
 * Orders without names that failed, in one attempt: each is for fewer names, at least by one that the CA has named,
 * so it ends by itself; but a CA that names one at a time would get an order for every name. Those that look at
 * all of them need three: what they refuse to order, cannot validate, and do not sign.
 */
const ROUNDS = 5

export class PartialOrder {
  readonly #options: PartialOrderOptions

  constructor(options: PartialOrderOptions) {
    this.#options = options
  }

  /** The `names` left to order without those that `error` blames; none if another order is not worth it. */
  namesToRetry(error: unknown, names: readonly string[]): readonly string[] {
    const { clock, plan, failures, served } = this.#options
    const { certificate } = served
    const failed = error instanceof AcmeError ? error.failedNames : []
    const rest = names.filter((name) => !failed.includes(name))
    const isWorth = mayLeaveOut({
      nowMs: clock.monotonicMs(),
      lifetimeMs: certificate && certificate.facts.notAfterMs - certificate.facts.notBeforeMs,
      lastTimeMs: failures.leftOutAtMs,
      addsNames: served.addsNames(rest),
      isDue: certificate === undefined || clock.nowMs() >= plan.dueMs(certificate),
    })
    // A CA may blame a name that was not ordered, such as the parent domain.
    return rest.length < names.length && isWorth ? rest : []
  }

  /**
   * Orders the names that are left, round after round, each without the names that failed in the one before. Throws
   * the combined error after recording it, or the reason of `signal`.
   */
  async run(
    first: FailedOrder,
    order: (names: readonly string[]) => Promise<void>,
    signal: AbortSignal,
  ): Promise<void> {
    const { settings, failures, report } = this.#options
    let { error: said, rest } = first
    for (let round = 1; ; round++) {
      const names = rest
      try {
        await order(names)
        return
      } catch (error) {
        signal.throwIfAborted()
        report.error(`without the names that failed: ${messageOf(error)}`)
        const without = settings.domains.filter((name) => !names.includes(name))
        said = combineErrors(said, error, without)
        rest = this.namesToRetry(error, names)
        failures.noteFurther(error)
        const isAboutNames = error instanceof AcmeError && error.failedNames.length > 0
        if (isAboutNames && rest.length > 0 && round < ROUNDS) continue
        // An error that blames no name is retried soon.
        if (isAboutNames) failures.markPartial()
        await failures.settle()
        throw said
      }
    }
  }
}
