// Waits for a wall-clock time that may be months away, on a machine that is suspended or whose clock jumps.
import { setTimeout as sleep } from 'node:timers/promises'
import type { Clock } from '@reverse-proxy/shared/clock'

/** A clock with a timer. */
export interface WaitableClock extends Clock {
  /** Monotonic milliseconds, as timers count them: they stand still while the machine is suspended. */
  timerMs(): number
  /** Resolves after `delayMs`, or when `signal` is aborted; never rejects. */
  sleep(delayMs: number, signal: AbortSignal): Promise<void>
}

/** A timer ignores suspension and corrections of the clock, so read the clock this often. */
const LOOK_AGAIN_MS = 30_000

/** Adds the timers of this process to `clock`. */
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
 * Resolves at `timeMs` or shortly after. Also resolves when the clock was set back: the caller must plan again. Rejects
 * with the reason of `signal` when it is aborted.
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
