// Parses the head of a request over HTTP/1 (RFC 9112 2 to 5) and checks each byte in the same pass. Continues where it
// stopped when a read ends within a head, and never looks at more bytes than a head may have.
import { COLON, CR, DIGIT_0, hashOn, isBlank, LF, SPACE, TARGET, TOKEN, VALUE } from './characters.ts'
import { expect } from './fault.ts'
import { COOKIE, fieldKind, LOOKED_AT, PassedLines, PLAIN, REPORTED } from './passed-lines.ts'
import { Http1RequestHead } from './request-head.ts'

const EMPTY_LINE = 0
const EMPTY_LINE_LF = 1
const METHOD = 2
const BEFORE_TARGET = 3
const IN_TARGET = 4
const VERSION = 5
const VERSION_CR = 6
const LINE_LF = 7
const FIELD = 8
const NAME = 9
const IN_VALUE = 10
const END_LF = 11

const VERSION_TEXT = 'HTTP/1.'

export interface HeadLimits {
  /** Bytes of the whole head with its empty lines. */
  readonly maxBytes: number
  readonly maxFields: number
}

export class HeadParser {
  #state = EMPTY_LINE
  /** The part of the head from earlier reads. */
  #text = ''
  #methodAt = 0
  #methodEnd = 0
  #targetAt = 0
  #targetEnd = 0
  #minorVersion = 0
  #fieldsAt = 0
  #fields = 0
  #fieldAt = 0
  #hash = 0
  readonly #reported: number[] = []
  readonly #passed = new PassedLines()
  #head: Http1RequestHead | undefined

  /** At least one byte of a head has arrived. */
  get hasBegun(): boolean {
    return this.#state > EMPTY_LINE_LF
  }

  /** The head, once `take` has found its end; the parser is ready for the next one then. */
  takeHead(): Http1RequestHead | undefined {
    const head = this.#head
    this.#head = undefined
    return head
  }

  /**
   * Consumes the part of `bytes`, from `from` to `to`, that belongs to the head.
   * @returns where the rest begins
   * @throws Http1Fault
   */
  take(bytes: Buffer, from: number, to: number, limits: HeadLimits): number {
    // The difference between a position in the head and one in `bytes`.
    let base = this.#text.length - from
    let end = Math.min(to, limits.maxBytes - base)
    let at = from
    while (at < end) {
      switch (this.#state) {
        case EMPTY_LINE:
          // RFC 9112 2.2: an empty line before a request is no part of it.
          if (bytes[at] === CR) {
            this.#state = EMPTY_LINE_LF
            at += 1
          } else {
            this.#methodAt = at + base
            this.#state = METHOD
          }
          break
        case EMPTY_LINE_LF:
          expect(bytes[at] === LF, 'INVALID_LINE_END')
          this.#state = EMPTY_LINE
          at += 1
          this.#text = ''
          from = at
          base = -from
          end = Math.min(to, limits.maxBytes - base)
          break
        case METHOD:
          while (at < end && TOKEN[bytes[at]!] !== 0) at += 1
          if (at === end) break
          expect(bytes[at] === SPACE && at + base > this.#methodAt, 'INVALID_METHOD')
          this.#methodEnd = at + base
          this.#state = BEFORE_TARGET
          break
        case BEFORE_TARGET:
          // RFC 9112 3: several spaces may be taken for one.
          while (at < end && bytes[at] === SPACE) at += 1
          if (at === end) break
          this.#targetAt = at + base
          this.#state = IN_TARGET
          break
        case IN_TARGET:
          while (at < end && TARGET[bytes[at]!] !== 0) at += 1
          if (at === end) break
          expect(bytes[at] === SPACE, 'INVALID_TARGET')
          this.#targetEnd = at + base
          this.#state = VERSION
          at += 1
          break
        case VERSION:
          at = this.#takeVersion(bytes, at, base)
          break
        case VERSION_CR:
          expect(bytes[at] === CR, 'INVALID_VERSION')
          this.#state = LINE_LF
          at += 1
          break
        case LINE_LF:
          expect(bytes[at] === LF, 'INVALID_LINE_END')
          this.#state = FIELD
          at += 1
          if (this.#fieldsAt === 0) this.#fieldsAt = at + base
          break
        case FIELD:
          if (bytes[at] === CR) {
            this.#passed.end(at + base)
            this.#state = END_LF
            at += 1
          } else {
            this.#beginField(at + base, limits)
          }
          break
        case NAME:
          at = this.#takeName(bytes, at, end, base)
          break
        case IN_VALUE:
          while (at < end && VALUE[bytes[at]!] !== 0) at += 1
          if (at === end) break
          expect(bytes[at] === CR, 'INVALID_FIELD_VALUE')
          if (at === from || isBlank(bytes[at - 1]!)) this.#passed.refuse()
          this.#state = LINE_LF
          at += 1
          break
        case END_LF:
          expect(bytes[at] === LF, 'INVALID_LINE_END')
          this.#complete(bytes.toString('latin1', from, at + 1))
          return at + 1
        default:
          throw new TypeError('no such state')
      }
    }
    expect(end === to, 'HEAD_TOO_LARGE')
    this.#text += bytes.toString('latin1', from, end)
    return end
  }

  #takeVersion(bytes: Buffer, at: number, base: number): number {
    const index = at + base - this.#targetEnd - 1
    const byte = bytes[at]!
    if (index < VERSION_TEXT.length) {
      expect(byte === VERSION_TEXT.charCodeAt(index), 'INVALID_VERSION')
    } else {
      expect(byte >= DIGIT_0 && byte <= DIGIT_0 + 9, 'INVALID_VERSION')
      this.#minorVersion = byte - DIGIT_0
      this.#state = VERSION_CR
    }
    return at + 1
  }

  #beginField(position: number, { maxFields }: HeadLimits): void {
    this.#fields += 1
    expect(this.#fields <= maxFields, 'HEAD_TOO_LARGE')
    this.#fieldAt = position
    this.#passed.beginLine(position)
    this.#hash = 0
    this.#state = NAME
  }

  /** RFC 9112 5.1 and 5.2: neither a space before the colon nor a folded line is a name. */
  #takeName(bytes: Buffer, at: number, end: number, base: number): number {
    let hash = this.#hash
    for (; at < end; at++) {
      const lower = TOKEN[bytes[at]!]!
      if (lower === 0) break
      hash = hashOn(hash, lower)
    }
    this.#hash = hash
    if (at === end) return at
    expect(bytes[at] === COLON && at + base > this.#fieldAt, 'INVALID_FIELD_NAME')
    const kind = fieldKind(hash)
    if (kind !== PLAIN) this.#onSpecial(kind, hash)
    // Lines that are passed look like those of ours: a space, and none around the value.
    if (at + 2 >= end || bytes[at + 1] !== SPACE || isBlank(bytes[at + 2]!)) this.#passed.refuse()
    this.#state = IN_VALUE
    return at + 1
  }

  #onSpecial(kind: number, hash: number): void {
    if ((kind & REPORTED) !== 0) {
      this.#reported.push(hash, this.#fieldAt)
      this.#passed.cut(this.#fieldAt)
    }
    if ((kind & COOKIE) !== 0) this.#passed.cookie()
    if ((kind & LOOKED_AT) !== 0) this.#passed.refuse()
  }

  #complete(rest: string): void {
    const text = this.#text === '' ? rest : this.#text + rest
    this.#head = new Http1RequestHead(
      text,
      [this.#methodAt, this.#methodEnd, this.#targetAt, this.#targetEnd, this.#fieldsAt],
      this.#minorVersion,
      this.#fields,
      this.#reported,
      this.#passed.take(text),
    )
    this.#state = EMPTY_LINE
    this.#text = ''
    this.#fieldsAt = 0
    this.#fields = 0
    this.#reported.length = 0
  }
}
