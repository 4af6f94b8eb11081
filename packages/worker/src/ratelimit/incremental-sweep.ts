// Removes stale entries of a Map a few at a time, so that no call stalls. Keeps its iterator between calls: a fresh one
// would step over all deleted entries at the front each time.

/** Entries examined for each one that is added: entries are removed faster than they are added. */
const EXAMINED_ENTRIES = 2

export class IncrementalSweep<K, V> {
  readonly #map: Map<K, V>
  readonly #isStale: (value: V, nowMs: number) => boolean
  #entries: Iterator<[K, V], undefined>

  constructor(map: Map<K, V>, isStale: (value: V, nowMs: number) => boolean) {
    this.#map = map
    this.#isStale = isStale
    this.#entries = map.entries()
  }

  /** Call before each insertion. Examines the next entries and deletes the stale ones; begins again at the end. */
  advance(nowMs: number): void {
    for (let left = EXAMINED_ENTRIES; left > 0; left--) {
      const { value: entry } = this.#entries.next()
      if (entry === undefined) this.#entries = this.#map.entries()
      else if (this.#isStale(entry[1], nowMs)) this.#map.delete(entry[0])
    }
  }
}
