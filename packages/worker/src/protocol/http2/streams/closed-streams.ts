// Remembers how the newest closed streams of a connection ended, because that decides which frames may still arrive on
// them (RFC 9113 5.1). Forgets the oldest; frames on those are treated as on streams that were never opened.

export const CLOSED = { unknown: 0, ended: 1, resetByClient: 2, resetByUs: 3 } as const

/** Twice as many as the usual limit on open streams. */
const MEMORY = 256

export class ClosedStreams {
  /** A ring, made when the first stream closes. */
  #ids: Int32Array | undefined
  #ends: Uint8Array | undefined
  #at = 0

  add(streamId: number, end: number): void {
    this.#ids ??= new Int32Array(MEMORY)
    this.#ends ??= new Uint8Array(MEMORY)
    this.#ids[this.#at] = streamId
    this.#ends[this.#at] = end
    this.#at = (this.#at + 1) % MEMORY
  }

  endOf(streamId: number): number {
    const at = this.#ids?.lastIndexOf(streamId) ?? -1
    return at === -1 ? CLOSED.unknown : (this.#ends?.[at] ?? CLOSED.unknown)
  }
}
