// Bytes of an HTTP/1 client that have arrived and are not parsed yet. They stay in the buffer of their read, or, if they
// wait for longer, in a copy that grows. Bytes that have been handed on are never overwritten.

/** Fewer kept bytes are copied: they pin the memory of their whole read, which other connections share. */
const LARGE_BYTES = 16_384
const FIRST_BYTES = 1_024
const NOTHING = Buffer.alloc(0)

export class ReadAhead {
  buffer: Buffer = NOTHING
  /** The waiting bytes are in `buffer` from `at` to `end`. */
  at = 0
  end = 0
  #isOwn = false

  get length(): number {
    return this.end - this.at
  }

  add(piece: Buffer): void {
    if (this.at === this.end) {
      this.buffer = piece
      this.at = 0
      this.end = piece.length
      this.#isOwn = false
      return
    }
    const needed = this.length + piece.length
    if (!this.#isOwn || this.end + piece.length > this.buffer.length) this.#copyTo(2 * needed)
    piece.copy(this.buffer, this.end)
    this.end += piece.length
  }

  /** Call when the rest will wait for more bytes: copies it if it is small. */
  keep(): void {
    if (this.at === this.end) this.clear()
    else if (!this.#isOwn && this.length < LARGE_BYTES) this.#copyTo(this.length)
  }

  takeAll(): Buffer {
    const all = Buffer.from(this.buffer.subarray(this.at, this.end))
    this.clear()
    return all
  }

  clear(): void {
    this.buffer = NOTHING
    this.at = 0
    this.end = 0
  }

  #copyTo(bytes: number): void {
    const copy = Buffer.allocUnsafeSlow(Math.max(bytes, FIRST_BYTES))
    this.end = this.buffer.copy(copy, 0, this.at, this.end)
    this.buffer = copy
    this.at = 0
    this.#isOwn = true
  }
}
