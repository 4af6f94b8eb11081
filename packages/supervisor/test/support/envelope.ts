// Judges admissions against a rate limit that may have changed on the way.
import type { RateLimit } from '@reverse-proxy/shared/config/config'

export interface LimitPeriod {
  readonly fromMs: number
  readonly limit: RateLimit
}

/**
 * By how many tokens the worst interval exceeds `burst + rate * t`; 0 if none does. A bucket that starts
 * full, fills at `rate`, and pays for each admission runs dry exactly if some interval has too many.
 * @param periods the first begins before the first admission; an admission at the very moment of a change
 *   comes before it
 */
export function worstExcess(admittedAtMs: readonly number[], periods: readonly LimitPeriod[]): number {
  let [{ limit } = { limit: { burst: 0, requestsPerSecond: 0 } }] = periods
  let level = limit.burst
  let atMs = 0
  let worst = 0
  const advance = (toMs: number): void => {
    level = Math.min(limit.burst, level + ((toMs - atMs) * limit.requestsPerSecond) / 1000)
    atMs = toMs
  }
  let next = 1
  for (const admittedMs of admittedAtMs) {
    for (let period = periods[next]; period !== undefined; period = periods[++next]) {
      if (period.fromMs >= admittedMs) break
      advance(period.fromMs)
      limit = period.limit
      level = Math.min(level, limit.burst)
    }
    advance(admittedMs)
    level -= 1
    worst = Math.max(worst, -level)
  }
  return worst < 1e-6 ? 0 : worst
}
