// Walks over a Map in rounds, a few entries at a time. It keeps its iterator: a fresh one would step over all deleted
// entries at the front each time.

export class IncrementalSweep<K, V> {
  readonly #map: ReadonlyMap<K, V>
  #entries: Iterator<[K, V], undefined>

  constructor(map: ReadonlyMap<K, V>) {
    this.#map = map
    this.#entries = map.entries()
  }

  /** The next entry, or undefined once at the end of each round. */
  next(): [K, V] | undefined {
    const { value } = this.#entries.next()
    if (value === undefined) this.#entries = this.#map.entries()
    return value
  }
}
