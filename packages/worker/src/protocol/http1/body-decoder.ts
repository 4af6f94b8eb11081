// Decodes a request body over HTTP/1 from reads that may end anywhere: by length, or in chunks (RFC 9112 7.1). Checks,
// bounds and drops chunk extensions and trailers. Stricter than the decoder for responses of upstreams.
import { assertNever } from '@reverse-proxy/shared/assert-never'
import type { BodyFraming } from '../../message/request-parser.ts'
import {
  BACKSLASH,
  COLON,
  CR,
  EQUALS,
  hashOf,
  hashOn,
  HEX,
  isBlank,
  LF,
  QUOTE,
  SEMICOLON,
  TOKEN,
  VALUE,
} from './characters.ts'
import { expect, Http1Fault } from './fault.ts'
import type { HeadLimits } from './head-parser.ts'

type ExtensionState =
  | 'before-extension'
  | 'before-extension-name'
  | 'extension-name'
  | 'behind-extension-name'
  | 'before-extension-value'
  | 'extension-token'
  | 'extension-quoted'
  | 'extension-escaped'
  | 'behind-extension-value'
type TrailerState = 'trailer' | 'trailer-name' | 'trailer-value' | 'trailer-lf'
type ContentState = 'complete' | 'length' | 'content'
type State =
  | ContentState
  | 'size'
  | ExtensionState
  | 'size-lf'
  | 'content-cr'
  | 'content-lf'
  | TrailerState
  | 'end-lf'

/** A size with more digits would not be exact. */
const MAX_SIZE_DIGITS = 13
/** Limit on chunk extensions and leading zeros of one body: they cost as much to read as content. */
const MAX_EXTENSION_BYTES = 16_384
/** RFC 9110 6.5.1: fields that frame a message are not allowed in its trailers. */
const FRAMING = new Set([hashOf('content-length'), hashOf('transfer-encoding')])

export class BodyDecoder {
  /** The position of the content that `take` has found in its bytes; both are the same if there is none. */
  contentFrom = 0
  contentTo = 0
  readonly #limits: HeadLimits
  #state: State = 'complete'
  #bytesLeft = 0
  #digits = 0
  #extensionBytes = 0
  #trailers = 0
  #trailerBytes = 0
  #hash = 0
  #isNameEmpty = true

  /** @param limits those of the trailer section, which are the same as for a head */
  constructor(framing: BodyFraming, limits: HeadLimits) {
    this.#limits = limits
    if (framing.kind === 'length') {
      this.#state = 'length'
      this.#bytesLeft = framing.bytes
    } else if (framing.kind === 'unknown') {
      this.#state = 'size'
    }
  }

  get isComplete(): boolean {
    return this.#state === 'complete'
  }

  /**
   * Reads `bytes` from `at` to `to`, at most to the end of the next piece of content or of the body.
   * @returns where the rest begins
   * @throws Http1Fault
   */
  take(bytes: Buffer, at: number, to: number): number {
    this.contentFrom = this.contentTo = at
    while (at < to && this.#state !== 'complete') {
      if (this.#state === 'length' || this.#state === 'content') return this.#takeContent(at, to)
      this.#takeByte(this.#state, bytes[at]!)
      at += 1
    }
    this.contentFrom = this.contentTo = at
    return at
  }

  #takeContent(at: number, to: number): number {
    const end = Math.min(to, at + this.#bytesLeft)
    this.contentFrom = at
    this.contentTo = end
    this.#bytesLeft -= end - at
    if (this.#bytesLeft === 0) this.#state = this.#state === 'length' ? 'complete' : 'content-cr'
    return end
  }

  #takeByte(state: Exclude<State, ContentState>, byte: number): void {
    switch (state) {
      case 'size':
        this.#takeSize(byte)
        break
      case 'size-lf':
        expect(byte === LF, 'INVALID_CHUNK_SIZE')
        this.#state = this.#bytesLeft === 0 ? 'trailer' : 'content'
        break
      case 'content-cr':
        expect(byte === CR, 'INVALID_CHUNK_END')
        this.#state = 'content-lf'
        break
      case 'content-lf':
        expect(byte === LF, 'INVALID_CHUNK_END')
        this.#digits = 0
        this.#state = 'size'
        break
      case 'trailer':
      case 'trailer-name':
      case 'trailer-value':
      case 'trailer-lf':
        this.#takeTrailer(state, byte)
        break
      case 'end-lf':
        expect(byte === LF, 'INVALID_TRAILER')
        this.#state = 'complete'
        break
      case 'before-extension':
      case 'before-extension-name':
      case 'extension-name':
      case 'behind-extension-name':
      case 'before-extension-value':
      case 'extension-token':
      case 'extension-quoted':
      case 'extension-escaped':
      case 'behind-extension-value':
        this.#takeExtension(state, byte)
        break
      default:
        assertNever(state)
    }
  }

  #takeSize(byte: number): void {
    const digit = HEX[byte]! - 1
    if (digit >= 0) {
      // Leading zeros mean nothing, and are bounded as extensions are.
      if (digit === 0 && this.#bytesLeft === 0) this.#countExtension()
      else expect(this.#bytesLeft < 16 ** (MAX_SIZE_DIGITS - 1), 'INVALID_CHUNK_SIZE')
      this.#digits += 1
      this.#bytesLeft = this.#bytesLeft * 16 + digit
      return
    }
    expect(this.#digits > 0, 'INVALID_CHUNK_SIZE')
    if (byte === CR) this.#state = 'size-lf'
    else if (byte === SEMICOLON) this.#state = 'before-extension-name'
    else if (isBlank(byte)) this.#state = 'before-extension'
    else throw new Http1Fault('INVALID_CHUNK_SIZE')
  }

  /** RFC 9112 7.1.1: `;` name `=` value, with white space round the signs; the value a token or in quotes. */
  #takeExtension(state: ExtensionState, byte: number): void {
    this.#countExtension()
    switch (state) {
      case 'before-extension':
        if (byte === SEMICOLON) this.#state = 'before-extension-name'
        else expect(isBlank(byte), 'INVALID_CHUNK_EXTENSION')
        break
      case 'before-extension-name':
        if (TOKEN[byte] !== 0) this.#state = 'extension-name'
        else expect(isBlank(byte), 'INVALID_CHUNK_EXTENSION')
        break
      case 'extension-name':
        if (TOKEN[byte] === 0) this.#endExtensionPart(byte, true)
        break
      case 'behind-extension-name':
        if (byte === EQUALS) this.#state = 'before-extension-value'
        else if (byte === SEMICOLON) this.#state = 'before-extension-name'
        else expect(isBlank(byte), 'INVALID_CHUNK_EXTENSION')
        break
      case 'before-extension-value':
        if (byte === QUOTE) this.#state = 'extension-quoted'
        else if (TOKEN[byte] !== 0) this.#state = 'extension-token'
        else expect(isBlank(byte), 'INVALID_CHUNK_EXTENSION')
        break
      case 'extension-token':
        if (TOKEN[byte] === 0) this.#endExtensionPart(byte, false)
        break
      case 'extension-quoted':
        if (byte === QUOTE) this.#state = 'behind-extension-value'
        else if (byte === BACKSLASH) this.#state = 'extension-escaped'
        else expect(VALUE[byte] !== 0, 'INVALID_CHUNK_EXTENSION')
        break
      case 'extension-escaped':
        expect(VALUE[byte] !== 0, 'INVALID_CHUNK_EXTENSION')
        this.#state = 'extension-quoted'
        break
      case 'behind-extension-value':
        this.#endExtensionPart(byte, false)
        break
    }
  }

  #endExtensionPart(byte: number, isName: boolean): void {
    if (byte === CR) this.#state = 'size-lf'
    else if (byte === SEMICOLON) this.#state = 'before-extension-name'
    else if (byte === EQUALS && isName) this.#state = 'before-extension-value'
    else if (isBlank(byte)) this.#state = isName ? 'behind-extension-name' : 'before-extension'
    else throw new Http1Fault('INVALID_CHUNK_EXTENSION')
  }

  #countExtension(): void {
    this.#extensionBytes += 1
    expect(this.#extensionBytes <= MAX_EXTENSION_BYTES, 'CHUNK_EXTENSIONS_TOO_LARGE')
  }

  #takeTrailer(state: TrailerState, byte: number): void {
    this.#trailerBytes += 1
    expect(this.#trailerBytes <= this.#limits.maxBytes, 'TRAILERS_TOO_LARGE')
    switch (state) {
      case 'trailer':
        if (byte === CR) {
          this.#state = 'end-lf'
          break
        }
        this.#trailers += 1
        expect(this.#trailers <= this.#limits.maxFields, 'TRAILERS_TOO_LARGE')
        this.#hash = 0
        this.#isNameEmpty = true
        this.#state = 'trailer-name'
        this.#takeTrailerName(byte)
        break
      case 'trailer-name':
        this.#takeTrailerName(byte)
        break
      case 'trailer-value':
        if (byte === CR) this.#state = 'trailer-lf'
        else expect(VALUE[byte] !== 0, 'INVALID_TRAILER')
        break
      case 'trailer-lf':
        expect(byte === LF, 'INVALID_TRAILER')
        this.#state = 'trailer'
        break
    }
  }

  #takeTrailerName(byte: number): void {
    const lower = TOKEN[byte]!
    if (lower !== 0) {
      this.#hash = hashOn(this.#hash, lower)
      this.#isNameEmpty = false
      return
    }
    expect(byte === COLON && !this.#isNameEmpty && !FRAMING.has(this.#hash), 'INVALID_TRAILER')
    this.#state = 'trailer-value'
  }
}
