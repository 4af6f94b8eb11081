// Decodes a response body in chunks, with its trailer section (RFC 9112 7.1), from reads that may end anywhere. Lenient
// where only one reading is possible: lines that end in LF alone, leading zeros, white space behind a size.
import { assertNever } from '@reverse-proxy/shared/assert-never'
import { parseFieldLines } from './response-head.ts'
import { HeaderSection } from './header-section.ts'
import { badResponse } from './bad-response.ts'

type State =
  | 'size'
  | 'padding'
  | 'extension'
  | 'size-lf'
  | 'content'
  | 'content-end'
  | 'content-lf'
  | 'trailers'
  | 'complete'

const CR = 0x0d
const LF = 0x0a
const TAB = 0x09
const SPACE = 0x20
const SEMICOLON = 0x3b
const DEL = 0x7f
/** A size with more digits would not be exact. */
const MAX_SIZE_DIGITS = 13
/** Limit on the chunk extensions of one body: they carry no meaning but cost as much to read as content. */
const MAX_EXTENSION_BYTES = 16_384
const EXCERPT_BYTES = 32
const NO_TRAILERS: readonly string[] = []

export class ChunkedBody {
  readonly #onContent: (content: Buffer) => void
  readonly #trailerSection = new HeaderSection()
  #state: State = 'complete'
  #bytesLeft = 0
  /** Without leading zeros. */
  #sizeDigits = 0
  #hasSize = false
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
   * Consumes the part of `read`, from `at` on, that belongs to the body.
   * @returns where the rest begins
   * @throws ProxyError UPSTREAM_PROTOCOL
   */
  take(read: Buffer, at: number): number {
    while (at < read.length && this.#state !== 'complete') {
      if (this.#state === 'content') at = this.#takeContent(read, at)
      else if (this.#state === 'trailers') at = this.#takeTrailers(read, at)
      else at = this.#takeByte(this.#state, read, at)
    }
    return at
  }

  #beginChunk(): void {
    this.#state = 'size'
    this.#bytesLeft = 0
    this.#sizeDigits = 0
    this.#hasSize = false
  }

  #takeContent(read: Buffer, at: number): number {
    const end = Math.min(read.length, at + this.#bytesLeft)
    this.#bytesLeft -= end - at
    if (this.#bytesLeft === 0) this.#state = 'content-end'
    this.#onContent(read.subarray(at, end))
    return end
  }

  /** @returns the position of the next byte */
  #takeByte(state: Exclude<State, 'content' | 'trailers' | 'complete'>, read: Buffer, at: number): number {
    const byte = read[at]!
    switch (state) {
      case 'size':
        if (byte === CR || byte === LF) return this.#endSize(byte, at)
        if (byte === SEMICOLON) this.#beginExtension(read, at)
        else if (byte === SPACE || byte === TAB) this.#state = 'padding'
        else this.#addSizeDigit(read, at)
        break
      case 'padding':
        if (byte === CR || byte === LF) return this.#endSize(byte, at)
        if (byte === SEMICOLON) this.#beginExtension(read, at)
        else if (byte !== SPACE && byte !== TAB) throw badResponse('chunk size', around(read, at))
        this.#countExtensionByte()
        break
      case 'extension':
        if (byte === CR || byte === LF) return this.#endSize(byte, at)
        if ((byte < SPACE && byte !== TAB) || byte === DEL)
          throw badResponse('chunk extension', around(read, at))
        this.#countExtensionByte()
        break
      case 'size-lf':
        if (byte !== LF) throw badResponse('end of the chunk size line', around(read, at))
        this.#state = 'content'
        break
      case 'content-end':
        if (byte === CR) this.#state = 'content-lf'
        else if (byte === LF) this.#beginChunk()
        else throw badResponse('chunk longer than its size', around(read, at))
        break
      case 'content-lf':
        if (byte !== LF) throw badResponse('chunk longer than its size', around(read, at))
        this.#beginChunk()
        break
      default:
        assertNever(state)
    }
    return at + 1
  }

  #addSizeDigit(read: Buffer, at: number): void {
    const digit = hexDigit(read[at]!)
    if (digit === -1) throw badResponse('chunk size', around(read, at))
    this.#hasSize = true
    // Leading zeros mean nothing, and are bounded as extensions are.
    if (digit === 0 && this.#bytesLeft === 0) this.#countExtensionByte()
    else if (++this.#sizeDigits > MAX_SIZE_DIGITS) throw badResponse('chunk size too large', around(read, at))
    this.#bytesLeft = this.#bytesLeft * 16 + digit
  }

  #countExtensionByte(): void {
    if (++this.#extensionBytes > MAX_EXTENSION_BYTES) throw badResponse('chunk extensions too large')
  }

  #beginExtension(read: Buffer, at: number): void {
    if (!this.#hasSize) throw badResponse('chunk size', around(read, at))
    this.#state = 'extension'
  }

  /** @param at position of the CR or LF; that of the last chunk begins the trailer section */
  #endSize(byte: number, at: number): number {
    if (!this.#hasSize) throw badResponse('chunk size missing')
    if (this.#bytesLeft > 0) {
      this.#state = byte === LF ? 'content' : 'size-lf'
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
    const start = text.indexOf('\n') + 1
    if (start > 2 || (start === 2 && !text.startsWith('\r')))
      throw badResponse('end of the chunk size line', text)
    if (text.length > start) this.#trailers = parseFieldLines(text, start)
    this.#state = 'complete'
    return next
  }
}

/** The bytes around a position, for the log. */
function around(read: Buffer, at: number): string {
  return read.toString('latin1', Math.max(0, at - EXCERPT_BYTES), at + EXCERPT_BYTES)
}

/** The value of a hexadecimal digit, or -1. */
function hexDigit(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30
  const lower = byte | 0x20
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1
}
