// Rolling replacements: which generation is the current one, which older ones may stay, and when the roll under way
// has come to its end. Forks and drains nothing; fleet.ts does, as plan.ts says.

export class Rolls {
  #generation = 1
  #goodGenerations: ReadonlySet<number> = new Set()
  #current: PromiseWithResolvers<void> | undefined

  /** Of the workers forked from now on. */
  get generation(): number {
    return this.#generation
  }

  /** Older ones that need not be replaced: those before a roll that failed. */
  get goodGenerations(): ReadonlySet<number> {
    return this.#goodGenerations
  }

  /** A new generation is wanted; resolves or rejects with what `succeed` or `fail` says of it. One at a time. */
  async begin(onChange: () => void): Promise<void> {
    const good = new Set([...this.#goodGenerations, this.#generation])
    this.#goodGenerations = new Set()
    this.#generation++
    this.#current = Promise.withResolvers<void>()
    onChange()
    try {
      await this.#current.promise
    } catch (error) {
      // Fresh workers that did start have what the failed roll wanted: they are replaced in their turn.
      this.#goodGenerations = good
      this.#generation++
      onChange()
      throw error
    } finally {
      this.#current = undefined
    }
  }

  /** Every slot has a worker of the current generation that serves. */
  succeed(): void {
    this.#current?.resolve()
  }

  /** A worker of `generation` could not start; of an older one, that says nothing about the roll under way. */
  fail(generation: number, error: unknown): void {
    if (generation === this.#generation) this.#current?.reject(error)
  }
}
