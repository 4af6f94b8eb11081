// Whether a peer is asked, judged by how its requests have ended (passive health). Pure.

export interface HealthSettings {
  readonly failAfter: number
  readonly failWindowMs: number
}

export interface Health {
  /** When it has failed lately, oldest first. */
  readonly failuresMs: readonly number[]
  /** Until then it is asked only if there is nobody else. */
  readonly outUntilMs: number
}

const OUT_MS = 10_000

export const HEALTHY: Health = { failuresMs: [], outUntilMs: -Infinity }

export function isOut({ outUntilMs }: Health, nowMs: number): boolean {
  return nowMs < outUntilMs
}

/** After `failAfter` failures within the window it is out. Once it is back, one more failure is enough at first. */
export function healthAfterFailure(
  health: Health,
  nowMs: number,
  { failAfter, failWindowMs }: HealthSettings,
): Health {
  if (isOut(health, nowMs)) return health
  const failuresMs = [...health.failuresMs.filter((ms) => nowMs - ms < failWindowMs), nowMs]
  if (failuresMs.length < failAfter) return { ...health, failuresMs }
  const outUntilMs = nowMs + OUT_MS
  return { failuresMs: Array.from({ length: failAfter - 1 }, () => outUntilMs), outUntilMs }
}
