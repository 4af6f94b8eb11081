// Bytes of an HTTP/1 client that have arrived and are not parsed yet. They stay in the buffer of their read until that
// is used again, and then in a copy that grows.

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

  /** Call before the read ends, whose buffer serves the next one: copies the rest. */
  keep(): void {
    if (this.at === this.end) this.clear()
    else if (!this.#isOwn) this.#copyTo(this.length)
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
