// The state of rolling restarts: the current generation, the older ones that may stay, and the request that waits for
// its workers. Forks and drains nothing; fleet.ts does, as plan.ts decides.
import type { Clock } from '@reverse-proxy/shared/clock'
import type { Log } from '@reverse-proxy/shared/log-fields'
import { rollDeadlineMs, type WantedGeneration } from './plan.ts'

export class RollingRestart {
  readonly #clock: Clock
  readonly #log: Log
  #generation = 1
  #sinceMs: number
  #goodGenerations: ReadonlySet<number> = new Set()
  #current: PromiseWithResolvers<void> | undefined
  #isWaiting = false

  constructor(clock: Clock, log: Log) {
    this.#clock = clock
    this.#log = log
    this.#sinceMs = clock.nowMs()
  }

  get wanted(): WantedGeneration {
    return { generation: this.#generation, sinceMs: this.#sinceMs, goodGenerations: this.#goodGenerations }
  }

  get isWaiting(): boolean {
    return this.#isWaiting
  }

  /** @param pids workers that must exit before a roll continues; logged each time that the wait begins */
  waitFor(pids: readonly number[]): void {
    const wasWaiting = this.#isWaiting
    this.#isWaiting = pids.length > 0
    if (wasWaiting || !this.#isWaiting) return
    this.#log.info('ROLL_WAITING', {
      generation: this.#generation,
      waits_for: `older workers that drain: ${pids.join(' ')}`,
      timeout_ms: Math.max(0, Math.round(rollDeadlineMs(this.wanted) - this.#clock.nowMs())),
    })
  }

  /** Begins a new generation; resolves on `succeed`, rejects with the error of `fail`. One change at a time. */
  async roll(onChange: () => void): Promise<void> {
    const good = new Set([...this.#goodGenerations, this.#generation])
    this.#want(new Set())
    try {
      await this.fill(onChange)
    } catch (error) {
      // Fresh workers that did start have the state of the failed roll, so they are replaced as well.
      this.#want(good)
      onChange()
      throw error
    }
  }

  /** Waits for more workers of the current generation. */
  async fill(onChange: () => void): Promise<void> {
    this.#current = Promise.withResolvers<void>()
    onChange()
    try {
      await this.#current.promise
    } finally {
      this.#current = undefined
    }
  }

  /** Every slot has a worker that serves and need not be replaced. */
  succeed(): void {
    this.#current?.resolve()
  }

  /** A worker of `generation` could not start. Failures of older generations do not concern the current request. */
  fail(generation: number, error: unknown): void {
    if (generation === this.#generation) this.#current?.reject(error)
  }

  #want(goodGenerations: ReadonlySet<number>): void {
    this.#generation++
    this.#sinceMs = this.#clock.nowMs()
    this.#goodGenerations = goodGenerations
  }
}
