// Decides whether a peer gets requests, by how its recent requests have ended (passive health). Pure.

export interface HealthSettings {
  readonly failAfter: number
  readonly failWindowMs: number
}

export interface Health {
  /** The times of its recent failures, oldest first. */
  readonly failuresMs: readonly number[]
  /** Until then it gets requests only if there is no other peer. */
  readonly outUntilMs: number
}

const OUT_MS = 10_000

export const HEALTHY: Health = { failuresMs: [], outUntilMs: -Infinity }

export function isOut({ outUntilMs }: Health, nowMs: number): boolean {
  return nowMs < outUntilMs
}

/** After `failAfter` failures within the window the peer is out. Just after its return, one failure is enough. */
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
