// A header section of an upstream's message, up to and with the empty line, out of reads that may end anywhere.
// A line ends in CRLF or in LF alone (RFC 9112 2.2).
import { badResponse } from './bad-response.ts'

const EMPTY_LINE = '\r\n\r\n'
const MAX_BYTES = 65_536
const FIRST_BYTES = 4_096
/** How far the usual end of a section is looked for: longer ones are rare, and many short ones may come in one read. */
const USUAL_BYTES = 4_096
const CR = 0x0d
const LF = 0x0a
const EXCERPT_BYTES = 80
const NOTHING = Buffer.alloc(0)

export class HeaderSection {
  #bytes = NOTHING
  #length = 0
  #text: string | undefined

  /** Without the empty line, a character for each byte; undefined as long as some is missing. */
  get text(): string | undefined {
    return this.#text
  }

  /** Whether what has come can be the beginning of `text`, or of something that begins with it. */
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
   * Takes of `chunk`, from `at` on, what belongs to the section.
   * @returns where the rest begins
   * @throws ProxyError UPSTREAM_PROTOCOL when it becomes too large
   */
  take(chunk: Buffer, at: number): number {
    if (this.#length === 0) {
      // Nearly always it is all there at once.
      const usual = chunk.length - at > USUAL_BYTES ? chunk.subarray(0, at + USUAL_BYTES) : chunk
      const end = usual.indexOf(EMPTY_LINE, at, 'latin1')
      if (end !== -1) {
        const text = chunk.toString('latin1', at, end + 2)
        // An empty line whose neighbour ends in LF alone may come before it.
        if (!text.includes('\n\n') && !text.includes('\n\r\n')) {
          this.#text = text
          return end + EMPTY_LINE.length
        }
      }
      const lf = lastLineEnd(chunk, at, Math.min(chunk.length, at + MAX_BYTES + EMPTY_LINE.length))
      if (lf !== -1) {
        this.#text = chunk.toString('latin1', at, lf + 1)
        return lf + (chunk[lf + 1] === LF ? 2 : 3)
      }
    }
    const before = this.#length
    const taken = Math.min(chunk.length - at, MAX_BYTES + EMPTY_LINE.length - before)
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

  /** Doubled each time: a section that comes byte by byte is not copied for each of them. */
  #reserve(bytes: number): void {
    if (bytes <= this.#bytes.length) return
    const larger = Buffer.allocUnsafe(Math.max(bytes, this.#bytes.length * 2, FIRST_BYTES))
    this.#bytes.copy(larger, 0, 0, this.#length)
    this.#bytes = larger
  }
}

/** Where the LF is that an empty line follows; -1: nowhere between `from` and `end`. */
function lastLineEnd(bytes: Buffer, from: number, end: number): number {
  for (let lf = bytes.indexOf(LF, from); lf !== -1 && lf + 1 < end; lf = bytes.indexOf(LF, lf + 1)) {
    if (bytes[lf + 1] === LF) return lf
    if (bytes[lf + 1] === CR && lf + 2 < end && bytes[lf + 2] === LF) return lf
  }
  return -1
}

function checkSize(bytes: number): void {
  if (bytes > MAX_BYTES) throw badResponse('header section too large')
}
