// A clock that a test moves: whoever waits by it wakes up when its time has come, and not before.
import type { WaitableClock } from '../../src/os/waitable-clock.ts'

interface Sleeper {
  readonly wakeAtMs: number
  wake(): void
}

export class ManualClock implements WaitableClock {
  #nowMs: number
  #jumpedMs = 0
  readonly #sleepers = new Set<Sleeper>()

  constructor(nowMs = Date.parse('2026-01-01T00:00:00Z')) {
    this.#nowMs = nowMs
  }

  nowMs(): number {
    return this.#nowMs
  }

  timerMs(): number {
    return this.#nowMs - this.#jumpedMs
  }

  async sleep(delayMs: number, signal: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    const sleeper = { wakeAtMs: this.#nowMs + delayMs, wake: resolve }
    this.#sleepers.add(sleeper)
    signal.addEventListener('abort', () => resolve(), { once: true })
    if (signal.aborted) resolve()
    await promise
    this.#sleepers.delete(sleeper)
  }

  /** Step by step: whoever wakes up acts, and may lie down again, before the next one's time comes. */
  async advance(byMs: number): Promise<void> {
    const endMs = this.#nowMs + byMs
    await settle()
    for (;;) {
      const next = [...this.#sleepers].toSorted((a, b) => a.wakeAtMs - b.wakeAtMs)[0]
      if (next === undefined || next.wakeAtMs > endMs) break
      this.#nowMs = Math.max(this.#nowMs, next.wakeAtMs)
      next.wake()
      await settle()
    }
    this.#nowMs = endMs
  }

  /** Without waking anyone: a machine that was suspended. */
  jump(byMs: number): void {
    this.#nowMs += byMs
    this.#jumpedMs += byMs
  }
}

/** Lets everything run that waits for nothing but its turn. */
async function settle(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve))
}
