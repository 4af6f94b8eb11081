// Waiting for a wall-clock time that may be months away, on a machine that sleeps and whose clock jumps.
import { setTimeout as sleep } from 'node:timers/promises'
import type { Clock } from '@reverse-proxy/shared/clock'

/** A timer counts neither a suspended machine's time nor a corrected clock: look again this often. */
const LOOK_AGAIN_MS = 30_000

/** Resolves at `timeMs` or soon after it; rejects with the reason of `signal` when that is aborted. */
export async function sleepUntil(timeMs: number, clock: Clock, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted()
  for (let leftMs = timeMs - clock.nowMs(); leftMs > 0; leftMs = timeMs - clock.nowMs()) {
    await sleep(Math.min(leftMs, LOOK_AGAIN_MS), undefined, { signal }).catch(() => {})
    signal.throwIfAborted()
  }
}
