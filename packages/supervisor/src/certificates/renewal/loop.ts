// The background loop of one listener's certificates: sleeps until work is due or demanded, runs it, and starts again.
// The manager decides what is due and does it.
import { stackOf } from '@reverse-proxy/shared/error-text'
import type { Log } from '@reverse-proxy/shared/log-fields'
import { HOUR_MS, MINUTE_MS } from '@reverse-proxy/shared/time-units'
import type { BackgroundLoop } from '../manager.ts'
import type { RenewalAlarm } from '../status.ts'
import type { WaitableClock } from '../../os/waitable-clock.ts'
import { sleepUntil } from '../../os/waitable-clock.ts'

/** After an error that should not be: the loop goes on, but not at full speed. */
const PAUSE_MS = MINUTE_MS
/** A turn that failed and did not put off the next: a loop that spins would order and order. */
const LEAST_PAUSE_MS = 1_000
/** The loop looks at the clock every 30 s; a busy machine may make it late. */
const OVERDUE_MS = 5 * MINUTE_MS
/** All time limits of a turn together are far below this. */
const LONGEST_TURN_MS = 2 * HOUR_MS

export interface RenewalWork {
  readonly listenerId: string
  readonly clock: WaitableClock
  readonly log: Log
  /** When something is to be done next (wall clock); Infinity: nothing unless it is demanded. */
  nextMs(): number
  /**
   * Does what is due, or with `demanded` what would be due later; resolves with whether there was an
   * attempt to renew. A rejection means that it failed: that has been logged, and `nextMs` put off.
   */
  turn(demanded: boolean): Promise<boolean>
}

export class RenewalLoop implements BackgroundLoop {
  readonly #work: RenewalWork
  readonly #signal: AbortSignal
  readonly #first = Promise.withResolvers<void>()
  #demand: PromiseWithResolvers<void> | undefined
  #wake = new AbortController()
  #isDead = false
  #busySinceMs: number | undefined
  #wakesAt = { wallMs: Infinity, timerMs: Infinity }
  #notBeforeMs = 0

  /** `signal` ends it. */
  constructor(work: RenewalWork, signal: AbortSignal) {
    this.#work = work
    this.#signal = signal
    this.#first.promise.catch(() => {})
  }

  /** How the first attempt ended. Rejects as `turn` does, or when the loop ends before one. */
  get firstAttempt(): Promise<void> {
    return this.#first.promise
  }

  /** Computed when it is asked for: undefined while all is well. */
  get alarm(): RenewalAlarm | undefined {
    if (this.#isDead) return 'dead'
    const { clock } = this.#work
    if (this.#busySinceMs !== undefined) {
      return clock.nowMs() - this.#busySinceMs > LONGEST_TURN_MS ? 'stuck' : undefined
    }
    // By both clocks: after the machine was suspended, or its clock was set, the loop needs a moment.
    const { wallMs, timerMs } = this.#wakesAt
    const lateByMs = Math.min(clock.nowMs() - wallMs, clock.timerMs() - timerMs)
    return lateByMs > OVERDUE_MS ? 'overdue' : undefined
  }

  /** Resolves when it has ended; never rejects. Does nothing for `pauseMs` unless it is demanded. */
  async run(pauseMs = 0): Promise<void> {
    try {
      const signal = AbortSignal.any([this.#signal, this.#wake.signal])
      if (pauseMs > 0) await this.#work.clock.sleep(pauseMs, signal)
      while (!this.#signal.aborted) await this.#turn()
    } catch (error) {
      this.#report(error)
    } finally {
      this.#isDead = !this.#signal.aborted
      this.#demand?.reject(this.#signal.reason)
      this.#first.reject(this.#signal.reason)
    }
  }

  /** Has the work done at once; rejects as `turn` does, or when the loop ends. One that is under way will do. */
  async demand(): Promise<void> {
    this.#signal.throwIfAborted()
    this.#demand ??= Promise.withResolvers<void>()
    const { promise } = this.#demand
    this.#wake.abort()
    await promise
  }

  async #turn(): Promise<void> {
    const wasDemanded = await this.#sleep()
    if (this.#signal.aborted) return
    this.#busySinceMs = this.#work.clock.nowMs()
    try {
      const attempted = await this.#work.turn(wasDemanded)
      if (!attempted) return
      this.#first.resolve()
      this.#settle((demand) => demand.resolve())
    } catch (error) {
      this.#notBeforeMs = this.#work.clock.nowMs() + LEAST_PAUSE_MS
      this.#first.reject(error)
      this.#settle((demand) => demand.reject(error))
    } finally {
      this.#busySinceMs = undefined
    }
  }

  /** True when it was cut short by a demand. */
  async #sleep(): Promise<boolean> {
    this.#wake = new AbortController()
    if (this.#demand !== undefined) return true
    // Never longer than that, though the clock has been set back meanwhile.
    const { clock } = this.#work
    const nowMs = clock.nowMs()
    const wallMs = Math.max(this.#nextMs(), Math.min(this.#notBeforeMs, nowMs + LEAST_PAUSE_MS))
    this.#wakesAt = { wallMs, timerMs: clock.timerMs() + wallMs - nowMs }
    const signal = AbortSignal.any([this.#signal, this.#wake.signal])
    await sleepUntil(wallMs, clock, signal).catch(() => {})
    return this.#demand !== undefined
  }

  #nextMs(): number {
    try {
      return this.#work.nextMs()
    } catch (error) {
      this.#report(error)
      return this.#work.clock.nowMs() + PAUSE_MS
    }
  }

  #settle(how: (demand: PromiseWithResolvers<void>) => void): void {
    const demand = this.#demand
    this.#demand = undefined
    if (demand !== undefined) how(demand)
  }

  #report(error: unknown): void {
    const text = stackOf(error)
    this.#work.log.error('INTERNAL_ERROR', { listener: this.#work.listenerId, error: text })
  }
}
