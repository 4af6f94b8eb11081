// Collects a header section of a response, up to and with the empty line, from reads that may end anywhere. A line ends
// in CRLF or in LF alone (RFC 9112 2.2).
import { badResponse } from './bad-response.ts'

/** CR LF CR LF. */
const EMPTY_LINE_BYTES = 4
const MAX_BYTES = 65_536
const FIRST_BYTES = 4_096
const CR = 0x0d
const LF = 0x0a
const EXCERPT_BYTES = 80
const NOTHING = Buffer.alloc(0)

export class HeaderSection {
  #bytes = NOTHING
  #length = 0
  #text: string | undefined

  /** The section without the empty line, a character for each byte; undefined until it is complete. */
  get text(): string | undefined {
    return this.#text
  }

  /** Whether the bytes so far are a beginning of `text`, or begin with it. */
  canBegin(text: string): boolean {
    return text.startsWith(this.#bytes.toString('latin1', 0, Math.min(this.#length, text.length)))
  }

  /** The part of an incomplete section that has arrived. */
  get beginning(): string {
    return this.#bytes.toString('latin1', 0, Math.min(this.#length, EXCERPT_BYTES))
  }

  begin(): void {
    this.#text = undefined
    this.#length = 0
    this.#bytes = NOTHING
  }

  /**
   * Consumes the part of `chunk`, from `at` on, that belongs to the section.
   * @returns where the rest begins
   * @throws ProxyError UPSTREAM_PROTOCOL when it becomes too large
   */
  take(chunk: Buffer, at: number): number {
    if (this.#length === 0) {
      // Nearly always one read has all of it.
      const lf = lastLineEnd(chunk, at, Math.min(chunk.length, at + MAX_BYTES + EMPTY_LINE_BYTES))
      if (lf !== -1) {
        this.#text = chunk.toString('latin1', at, lf + 1)
        return lf + (chunk[lf + 1] === LF ? 2 : 3)
      }
    }
    const before = this.#length
    const taken = Math.min(chunk.length - at, MAX_BYTES + EMPTY_LINE_BYTES - before)
    this.#reserve(before + taken)
    chunk.copy(this.#bytes, before, at, at + taken)
    this.#length = before + taken
    const lf = lastLineEnd(this.#bytes, Math.max(0, before - 2), this.#length)
    if (lf === -1) {
      checkSize(this.#length)
      return at + taken
    }
    this.#text = this.#bytes.toString('latin1', 0, lf + 1)
    const next = lf + (this.#bytes[lf + 1] === LF ? 2 : 3)
    this.#bytes = NOTHING
    return at + next - before
  }

  /** Doubles the buffer, so that a section that arrives byte by byte is not copied for each byte. */
  #reserve(bytes: number): void {
    if (bytes <= this.#bytes.length) return
    const larger = Buffer.allocUnsafe(Math.max(bytes, this.#bytes.length * 2, FIRST_BYTES))
    this.#bytes.copy(larger, 0, 0, this.#length)
    this.#bytes = larger
  }
}

/** The position of the LF before an empty line; -1 if there is none between `from` and `end`. */
function lastLineEnd(bytes: Buffer, from: number, end: number): number {
  for (let lf = from; lf + 1 < end; lf++) {
    if (bytes[lf] !== LF) continue
    if (bytes[lf + 1] === LF) return lf
    if (bytes[lf + 1] === CR && lf + 2 < end && bytes[lf + 2] === LF) return lf
  }
  return -1
}

function checkSize(bytes: number): void {
  if (bytes > MAX_BYTES) throw badResponse('header section too large')
}
