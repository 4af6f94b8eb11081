// A body in chunks, with its trailer section (RFC 9112 7.1), out of reads that may end anywhere. Takes CRLF
// alone for the end of a line, and no space around a size.
import { assertNever } from '@reverse-proxy/shared/assert-never'
import { parseFieldLines } from './response-head.ts'
import { Section } from './section.ts'
import { badResponse } from './upstream-error.ts'

type State =
  | 'size'
  | 'extension'
  | 'size-lf'
  | 'content'
  | 'content-cr'
  | 'content-lf'
  | 'trailers'
  | 'complete'

const CR = 0x0d
const LF = 0x0a
const TAB = 0x09
const SPACE = 0x20
const SEMICOLON = 0x3b
const DEL = 0x7f
/** Beyond them a size would no longer be exact. */
const MAX_SIZE_DIGITS = 13
/** Of one body: extensions mean nothing to anybody, and cost as much to read as content. */
const MAX_EXTENSION_BYTES = 16_384
const NO_TRAILERS: readonly string[] = []

export class ChunkedBody {
  readonly #onContent: (content: Buffer) => void
  readonly #trailerSection = new Section()
  #state: State = 'complete'
  #bytesLeft = 0
  #sizeDigits = 0
  #extensionBytes = 0
  #trailers = NO_TRAILERS

  constructor(onContent: (content: Buffer) => void) {
    this.#onContent = onContent
  }

  get isComplete(): boolean {
    return this.#state === 'complete'
  }

  /** Name, value, name, value ...; names in lower case. */
  get trailers(): readonly string[] {
    return this.#trailers
  }

  begin(): void {
    this.#extensionBytes = 0
    this.#trailers = NO_TRAILERS
    this.#beginChunk()
  }

  /**
   * Takes of `read`, from `at` on, what belongs to the body.
   * @returns where the rest begins
   * @throws ProxyError UPSTREAM_PROTOCOL
   */
  take(read: Buffer, at: number): number {
    while (at < read.length && this.#state !== 'complete') {
      if (this.#state === 'content') at = this.#takeContent(read, at)
      else if (this.#state === 'trailers') at = this.#takeTrailers(read, at)
      else at = this.#takeByte(this.#state, read[at]!, at)
    }
    return at
  }

  #beginChunk(): void {
    this.#state = 'size'
    this.#bytesLeft = 0
    this.#sizeDigits = 0
  }

  #takeContent(read: Buffer, at: number): number {
    const end = Math.min(read.length, at + this.#bytesLeft)
    this.#bytesLeft -= end - at
    if (this.#bytesLeft === 0) this.#state = 'content-cr'
    this.#onContent(read.subarray(at, end))
    return end
  }

  /** @returns where the next byte is */
  #takeByte(state: Exclude<State, 'content' | 'trailers' | 'complete'>, byte: number, at: number): number {
    switch (state) {
      case 'size':
        if (byte === CR) return this.#endSize(at)
        if (byte === SEMICOLON) this.#state = 'extension'
        else this.#addSizeDigit(byte)
        break
      case 'extension':
        if (byte === CR) return this.#endSize(at)
        if ((byte < SPACE && byte !== TAB) || byte === DEL) throw badResponse()
        if (++this.#extensionBytes > MAX_EXTENSION_BYTES) throw badResponse()
        break
      case 'size-lf':
        if (byte !== LF) throw badResponse()
        this.#state = 'content'
        break
      case 'content-cr':
        if (byte !== CR) throw badResponse()
        this.#state = 'content-lf'
        break
      case 'content-lf':
        if (byte !== LF) throw badResponse()
        this.#beginChunk()
        break
      default:
        assertNever(state)
    }
    return at + 1
  }

  #addSizeDigit(byte: number): void {
    const digit = hexDigit(byte)
    if (digit === -1 || ++this.#sizeDigits > MAX_SIZE_DIGITS) throw badResponse()
    this.#bytesLeft = this.#bytesLeft * 16 + digit
  }

  /** @param at of the CR: with the last chunk's begins what an empty line ends */
  #endSize(at: number): number {
    if (this.#sizeDigits === 0) throw badResponse()
    if (this.#bytesLeft > 0) {
      this.#state = 'size-lf'
      return at + 1
    }
    this.#state = 'trailers'
    this.#trailerSection.begin()
    return at
  }

  #takeTrailers(read: Buffer, at: number): number {
    const next = this.#trailerSection.take(read, at)
    const { text } = this.#trailerSection
    if (text === undefined) return next
    if (!text.startsWith('\r\n')) throw badResponse()
    if (text.length > 2) this.#trailers = parseFieldLines(text, 2)
    this.#state = 'complete'
    return next
  }
}

/** -1: it is none. */
function hexDigit(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30
  const lower = byte | 0x20
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1
}
