// Walks over a Map again and again, a few entries at a time. It keeps its place: starting from the front
// each time would pass over all that has been deleted there.

export class MapCursor<K, V> {
  readonly #map: ReadonlyMap<K, V>
  #entries: Iterator<[K, V], undefined>

  constructor(map: ReadonlyMap<K, V>) {
    this.#map = map
    this.#entries = map.entries()
  }

  /** The next entry; undefined once at the end of each round. */
  next(): [K, V] | undefined {
    const { value } = this.#entries.next()
    if (value === undefined) this.#entries = this.#map.entries()
    return value
  }
}
