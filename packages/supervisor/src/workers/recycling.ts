// When a worker that is well is replaced nevertheless: because it has grown, or is old. Pure; off unless configured.
import type { RecycleLimits } from '@reverse-proxy/shared/config/config'

export interface RecyclableWorker {
  readonly bornAtMs: number
  /** As last reported. */
  readonly rssBytes: number
  /** 0 to 1, its own: workers of one age are not replaced at one time. */
  readonly jitter: number
}

/** A limit that every worker exceeds at once must not become a loop. */
const YOUNGEST_MS = 60_000
/** Spread of the maximum age, towards earlier. */
const SPREAD = 0.1

/** From when on it is due (ms, the fleet's clock); Infinity if nothing says so yet. */
export function recycleAtMs(worker: RecyclableWorker, { maxRssBytes, maxAgeMs }: RecycleLimits): number {
  const earliestMs = worker.bornAtMs + YOUNGEST_MS
  if (maxRssBytes !== undefined && worker.rssBytes > maxRssBytes) return earliestMs
  if (maxAgeMs === undefined) return Infinity
  return Math.max(earliestMs, worker.bornAtMs + maxAgeMs * (1 - SPREAD * worker.jitter))
}
