// The failures in a row of a listener whose certificates come from files or from the local CA: what is shown of the
// last one, and when it is tried again. Kept in memory only: no CA counts these attempts.
import { isoTime } from '@reverse-proxy/shared/clock'
import { messageOf } from '@reverse-proxy/shared/error-text'
import type { CertificateServices } from '../services.ts'
import type { Validity } from '../crypto/inspect.ts'
import { retryAtMs } from './schedule.ts'
import type { LastFailure } from '../status.ts'

type RetriesHost = Pick<CertificateServices, 'log' | 'clock' | 'counts'>

export class Retries {
  readonly #listenerId: string
  readonly #host: RetriesHost
  #inARow = 0
  #last: LastFailure | undefined

  constructor(listenerId: string, host: RetriesHost) {
    this.#listenerId = listenerId
    this.#host = host
  }

  /** Undefined: the last attempt succeeded. */
  get last(): LastFailure | undefined {
    return this.#last
  }

  /** Infinity: nothing has failed. */
  get dueMs(): number {
    return this.#last?.nextAttemptMs ?? Infinity
  }

  noteSuccess(): void {
    this.#inARow = 0
    this.#last = undefined
  }

  /** @param validity of the certificate that is served meanwhile, if there is one */
  noteFailed(error: unknown, validity: Validity | undefined): void {
    const { clock, counts, log } = this.#host
    const reason = messageOf(error)
    const failedAtMs = clock.nowMs()
    const nextAttemptMs = retryAtMs({
      failures: ++this.#inARow,
      failedAtMs,
      retryAfterMs: undefined,
      isRejected: false,
      isIssued: false,
      validity,
      jitter: Math.random(),
    })
    this.#last = { failedAtMs, nextAttemptMs, failedNames: [], reason, document: undefined }
    counts.add(this.#listenerId, 'failed')
    log[validity === undefined ? 'error' : 'warn']('CERT_FAILED', {
      listener: this.#listenerId,
      error: reason,
      next_attempt: isoTime(nextAttemptMs),
    })
  }
}
