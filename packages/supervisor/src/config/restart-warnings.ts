// Warns about changed settings that only a full restart applies: once for each change, not with every reload.

export class RestartWarnings {
  /** The value last warned about, by key. */
  readonly #warned = new Map<string, unknown>()

  /**
   * The warnings to be given now.
   * @param waiting every key that differs from what runs, with what it is to be
   */
  take(waiting: ReadonlyMap<string, unknown>): string[] {
    for (const key of this.#warned.keys()) if (!waiting.has(key)) this.#warned.delete(key)
    const fresh = [...waiting].filter(
      ([key, value]) => !this.#warned.has(key) || this.#warned.get(key) !== value,
    )
    for (const [key, value] of fresh) this.#warned.set(key, value)
    return fresh.map(([key]) => `${key} takes effect after a full restart`)
  }
}
