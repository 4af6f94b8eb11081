// A header section of an upstream's message, up to and with the empty line, out of reads that may end anywhere.
import { ProxyError } from '@reverse-proxy/shared/errors'

const EMPTY_LINE = '\r\n\r\n'
const MAX_BYTES = 65_536
const FIRST_BYTES = 4_096
const NOTHING = Buffer.alloc(0)

export class Section {
  #bytes = NOTHING
  #length = 0
  #text: string | undefined

  /** Without the CRLF of the empty line, a character for each byte; undefined as long as some is missing. */
  get text(): string | undefined {
    return this.#text
  }

  /** Whether what has come can be the beginning of `text`, or of something that begins with it. */
  canBegin(text: string): boolean {
    return text.startsWith(this.#bytes.toString('latin1', 0, Math.min(this.#length, text.length)))
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
      const end = chunk.indexOf(EMPTY_LINE, at, 'latin1')
      if (end !== -1) {
        checkSize(end - at)
        this.#text = chunk.toString('latin1', at, end + 2)
        return end + EMPTY_LINE.length
      }
    }
    const before = this.#length
    const taken = Math.min(chunk.length - at, MAX_BYTES + EMPTY_LINE.length - before)
    this.#reserve(before + taken)
    chunk.copy(this.#bytes, before, at, at + taken)
    this.#length = before + taken
    const from = Math.max(0, before - EMPTY_LINE.length + 1)
    const end = this.#bytes.subarray(0, this.#length).indexOf(EMPTY_LINE, from, 'latin1')
    if (end === -1) {
      checkSize(this.#length)
      return at + taken
    }
    this.#text = this.#bytes.toString('latin1', 0, end + 2)
    this.#bytes = NOTHING
    return at + end + EMPTY_LINE.length - before
  }

  /** Doubled each time: a section that comes byte by byte is not copied for each of them. */
  #reserve(bytes: number): void {
    if (bytes <= this.#bytes.length) return
    const larger = Buffer.allocUnsafe(Math.max(bytes, this.#bytes.length * 2, FIRST_BYTES))
    this.#bytes.copy(larger, 0, 0, this.#length)
    this.#bytes = larger
  }
}

function checkSize(bytes: number): void {
  if (bytes > MAX_BYTES) throw new ProxyError('UPSTREAM_PROTOCOL', 'response header section too large')
}
