// Time limits of an attempt: for the CA, and for another process that holds the lock. An attempt that exceeds one fails;
// the served certificate stays.
import { MINUTE_MS } from '@reverse-proxy/shared/time-units'

export interface AcmeLimits {
  /** One request, to the last byte of its answer. */
  readonly requestMs: number
  /** For the CA to validate every name. */
  readonly validationMs: number
  /** For the CA to become ready to sign, and again for signing. */
  readonly finalizationMs: number
  /** One order from the first request to the last: others may be waiting for the cache directory. */
  readonly orderMs: number
  /** For another process to be done with the cache directory. */
  readonly lockMs: number
}

export const ACME_LIMITS: AcmeLimits = {
  requestMs: 30_000,
  validationMs: 5 * MINUTE_MS,
  finalizationMs: 10 * MINUTE_MS,
  orderMs: 30 * MINUTE_MS,
  lockMs: 10 * MINUTE_MS,
}
