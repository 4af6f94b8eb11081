// Waiting for a wall-clock time that may be months away, on a machine that sleeps and whose clock jumps.
import { setTimeout as sleep } from 'node:timers/promises'
import type { Clock } from '@reverse-proxy/shared/clock'

/** A clock that can be waited by. */
export interface WaitableClock extends Clock {
  /** Milliseconds as timers count them: nobody sets them, and they stand still while the machine is suspended. */
  timerMs(): number
  /** Resolves after `delayMs` of its time, early when `signal` is aborted; never rejects. */
  sleep(delayMs: number, signal: AbortSignal): Promise<void>
}

/** A timer counts neither a suspended machine's time nor a corrected clock: look again this often. */
const LOOK_AGAIN_MS = 30_000

/** `clock`, waited by with the timers of this process. */
export function withTimers(clock: Clock): WaitableClock {
  return {
    nowMs: () => clock.nowMs(),
    timerMs: () => performance.now(),
    sleep: async (delayMs, signal) => {
      await sleep(delayMs, undefined, { signal }).catch(() => {})
    },
  }
}

/**
 * Resolves at `timeMs` or soon after it, and as soon as the clock is seen to have been set back: what was
 * planned by the old time is to be planned anew. Rejects with the reason of `signal` when that is aborted.
 */
export async function sleepUntil(timeMs: number, clock: WaitableClock, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted()
  for (let nowMs = clock.nowMs(); nowMs < timeMs;) {
    await clock.sleep(Math.min(timeMs - nowMs, LOOK_AGAIN_MS), signal)
    signal.throwIfAborted()
    const laterMs = clock.nowMs()
    if (laterMs < nowMs) return
    nowMs = laterMs
  }
}
