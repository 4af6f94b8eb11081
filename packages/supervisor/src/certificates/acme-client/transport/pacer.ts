// How fast this process asks one CA, whatever the number of listeners: CAs count requests for a machine, not for a
// listener. Ten requests a second with a burst of ten stays below a limit of 20 a second in any second. A CA that
// says it is busy is asked more slowly for a while, and not at all for the time that it asks for.
import type { WaitableClock } from '../../../os/waitable-clock.ts'

const BASE_INTERVAL_MS = 100
const BURST = 10
const LONGEST_INTERVAL_MS = 2_000
/** Several rejections of the same moment slow us down once. */
const SLOW_DOWN_EVERY_MS = 1_000
/** Per request that went well: about 14 of them halve the interval. */
const RECOVERY = 0.95
const ORDERS_AT_ONCE = 4

type PacerClock = Pick<WaitableClock, 'timerMs' | 'sleep'>

export class CaPacer {
  #intervalMs = BASE_INTERVAL_MS
  /** Timer time from which on the burst is whole again. */
  #wholeAtMs = -Infinity
  #slowedAtMs = -Infinity
  #holds = 0
  #orders = 0
  readonly #waiting: (() => void)[] = []

  /** Milliseconds between two requests at present. */
  get intervalMs(): number {
    return this.#intervalMs
  }

  /** Resolves when the next request may be sent. Rejects with the reason of `signal`. */
  async take(clock: PacerClock, signal: AbortSignal): Promise<void> {
    for (;;) {
      signal.throwIfAborted()
      const holds = this.#holds
      const waitMs = this.#reserve(clock.timerMs())
      if (waitMs <= 0) return
      await clock.sleep(waitMs, signal)
      signal.throwIfAborted()
      // Reservations made before the CA asked us to wait no longer count.
      if (holds === this.#holds) return
    }
  }

  noteSuccess(): void {
    this.#intervalMs = Math.max(this.#intervalMs * RECOVERY, BASE_INTERVAL_MS)
  }

  /** The CA is busy; nothing is sent for `holdMs`, where it asks for that. */
  noteBusy(nowMs: number, holdMs: number | undefined): void {
    if (nowMs - this.#slowedAtMs >= SLOW_DOWN_EVERY_MS) {
      this.#slowedAtMs = nowMs
      this.#intervalMs = Math.min(this.#intervalMs * 2, LONGEST_INTERVAL_MS)
    }
    if (holdMs === undefined) return
    this.#holds++
    this.#wholeAtMs = Math.max(this.#wholeAtMs, nowMs + holdMs + (BURST - 1) * this.#intervalMs)
  }

  /** Runs one order: as many at once as the CA is to see, the others in the order they came. */
  async order<Result>(signal: AbortSignal, work: () => Promise<Result>): Promise<Result> {
    await this.#enter(signal)
    try {
      return await work()
    } finally {
      this.#orders--
      this.#waiting.shift()?.()
    }
  }

  async #enter(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    if (this.#orders < ORDERS_AT_ONCE) {
      this.#orders++
      return
    }
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const onTurn = (): void => {
      this.#orders++
      signal.removeEventListener('abort', onAbort)
      resolve()
    }
    const onAbort = (): void => {
      this.#waiting.splice(this.#waiting.indexOf(onTurn), 1)
      reject(signal.reason)
    }
    this.#waiting.push(onTurn)
    signal.addEventListener('abort', onAbort, { once: true })
    await promise
  }

  /** How long to wait for the request that is reserved now. */
  #reserve(nowMs: number): number {
    const startMs = Math.max(nowMs, this.#wholeAtMs - (BURST - 1) * this.#intervalMs)
    this.#wholeAtMs = Math.max(this.#wholeAtMs, nowMs) + this.#intervalMs
    return startMs - nowMs
  }
}

const pacers = new Map<string, CaPacer>()

/** The one of this process for a CA, which its host and port tell apart. */
export function pacerFor(directoryUrl: string): CaPacer {
  const key = URL.canParse(directoryUrl) ? new URL(directoryUrl).origin : directoryUrl
  let pacer = pacers.get(key)
  if (pacer === undefined) pacers.set(key, (pacer = new CaPacer()))
  return pacer
}
