// Rolling replacements: which generation is the current one, which older ones may stay, and when what has been asked
// for is done or what it waits for. Forks and drains nothing; fleet.ts does, as plan.ts says.
import type { Clock } from '@reverse-proxy/shared/clock'
import type { Log } from '@reverse-proxy/shared/log-fields'
import type { WantedGeneration } from './generations.ts'
import { patienceEndsMs } from './generations.ts'

export class Rolls {
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

  /** The workers, by pid, that have to end before a roll goes on: said once for each time that it begins to wait. */
  waitFor(pids: readonly number[]): void {
    const wasWaiting = this.#isWaiting
    this.#isWaiting = pids.length > 0
    if (wasWaiting || !this.#isWaiting) return
    this.#log.info('ROLL_WAITING', {
      generation: this.#generation,
      waits_for: `older workers that drain: ${pids.join(' ')}`,
      timeout_ms: Math.max(0, Math.round(patienceEndsMs(this.wanted) - this.#clock.nowMs())),
    })
  }

  /** A new generation is wanted; resolves or rejects with what `succeed` or `fail` says of it. One change at a time. */
  async roll(onChange: () => void): Promise<void> {
    const good = new Set([...this.#goodGenerations, this.#generation])
    this.#want(new Set())
    try {
      await this.fill(onChange)
    } catch (error) {
      // Fresh workers that did start have what the failed roll wanted: they are replaced in their turn.
      this.#want(good)
      onChange()
      throw error
    }
  }

  /** The same, but the generation stays as it is: more of its workers are wanted. */
  async fill(onChange: () => void): Promise<void> {
    this.#current = Promise.withResolvers<void>()
    onChange()
    try {
      await this.#current.promise
    } finally {
      this.#current = undefined
    }
  }

  /** Every slot has a worker that serves and may stay. */
  succeed(): void {
    this.#current?.resolve()
  }

  /** A worker of `generation` could not start; of an older one, that says nothing about what is under way. */
  fail(generation: number, error: unknown): void {
    if (generation === this.#generation) this.#current?.reject(error)
  }

  #want(goodGenerations: ReadonlySet<number>): void {
    this.#generation++
    this.#sinceMs = this.#clock.nowMs()
    this.#goodGenerations = goodGenerations
  }
}
