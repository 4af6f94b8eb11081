// Rolling replacements: which generation is the current one, which older ones may stay, and when what has been asked
// for is done. Forks and drains nothing; fleet.ts does, as plan.ts says.
import type { Clock } from '@reverse-proxy/shared/clock'
import type { WantedGeneration } from './generations.ts'

export class Rolls {
  readonly #clock: Clock
  #generation = 1
  #sinceMs: number
  #goodGenerations: ReadonlySet<number> = new Set()
  #current: PromiseWithResolvers<void> | undefined

  constructor(clock: Clock) {
    this.#clock = clock
    this.#sinceMs = clock.nowMs()
  }

  get wanted(): WantedGeneration {
    return { generation: this.#generation, sinceMs: this.#sinceMs, goodGenerations: this.#goodGenerations }
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
