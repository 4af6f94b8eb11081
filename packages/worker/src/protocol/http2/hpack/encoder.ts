// Encodes header blocks for the client (RFC 7541). Keeps the dynamic table of one connection; a line enters it when the
// worker has seen it twice. No Huffman coding: the string of a table entry is sent once, and other strings are short.
import type { FieldLine } from './field-line.ts'

/** The largest table that we use, even if the client allows more; also the initial size. */
const TABLE_BYTES = 4_096
const STATIC_ENTRIES = 61
/** A larger line is not indexed, so that the table has room for others. */
const MAX_INDEXED_BYTES = 1_024
const STATUS_NAME_INDEX = 8
/** RFC 7541 appendix A. */
const STATUS_INDEXES: ReadonlyMap<number, number> = new Map([
  [200, 8],
  [204, 9],
  [206, 10],
  [304, 11],
  [400, 12],
  [404, 13],
  [500, 14],
])
const DIGIT_0 = 0x30
/** A line costs its strings, their lengths, and an index. */
const LINE_OVERHEAD_BYTES = 16
/** `:status`, and table size updates before it. */
const HEAD_OVERHEAD_BYTES = 32

export class HpackEncoder {
  /** The oldest entry comes first. */
  #table: FieldLine[] = []
  /** Entries are numbered in the order in which they are made; this is the number of the oldest in the table. */
  #firstNumber = 0
  #numbers: Map<FieldLine, number> | undefined
  #size = 0
  #maxSize = TABLE_BYTES
  /** The smallest size since the last block (RFC 7541 4.2). */
  #smallestSize = TABLE_BYTES
  #isResized = false
  #target: Buffer = Buffer.alloc(0)
  #at = 0

  /** SETTINGS_HEADER_TABLE_SIZE of the client. */
  setTableSize(size: number): void {
    this.#maxSize = Math.min(size, TABLE_BYTES)
    this.#smallestSize = Math.min(this.#smallestSize, this.#maxSize)
    this.#isResized = true
    this.#evict(this.#maxSize)
  }

  /** The most bytes that the block can have. */
  limitOf(lines: readonly FieldLine[]): number {
    let bytes = HEAD_OVERHEAD_BYTES
    for (const { name, value } of lines) bytes += name.length + value.length + LINE_OVERHEAD_BYTES
    return bytes
  }

  /**
   * @param status 0: none, as for trailers
   * @param target has room for `limitOf(lines)` from `at` on
   * @returns where the block ends
   */
  encode(status: number, lines: readonly FieldLine[], target: Buffer, at: number): number {
    this.#target = target
    this.#at = at
    if (this.#isResized) this.#sendSize()
    if (status !== 0) this.#status(status)
    for (const line of lines) this.#line(line)
    return this.#at
  }

  #sendSize(): void {
    this.#isResized = false
    if (this.#smallestSize < this.#maxSize) this.#integer(0x20, 0x1f, this.#smallestSize)
    this.#integer(0x20, 0x1f, this.#maxSize)
    this.#smallestSize = this.#maxSize
  }

  #status(status: number): void {
    const index = STATUS_INDEXES.get(status)
    if (index !== undefined) {
      this.#integer(0x80, 0x7f, index)
      return
    }
    this.#integer(0x00, 0x0f, STATUS_NAME_INDEX)
    this.#integer(0x00, 0x7f, 3)
    this.#target[this.#at++] = DIGIT_0 + Math.trunc(status / 100)
    this.#target[this.#at++] = DIGIT_0 + (Math.trunc(status / 10) % 10)
    this.#target[this.#at++] = DIGIT_0 + (status % 10)
  }

  #line(line: FieldLine): void {
    const number = this.#numbers?.get(line)
    if (number !== undefined) {
      const newest = this.#firstNumber + this.#table.length - 1
      this.#integer(0x80, 0x7f, STATIC_ENTRIES + 1 + newest - number)
    } else if (
      line.uses > 1 &&
      line.mayBeIndexed &&
      line.size <= MAX_INDEXED_BYTES &&
      line.size <= this.#maxSize
    ) {
      this.#literal(line, 0x40, 0x3f)
      this.#insert(line)
    } else {
      this.#literal(line, line.isSecret ? 0x10 : 0x00, 0x0f)
    }
  }

  #literal(line: FieldLine, pattern: number, mask: number): void {
    this.#integer(pattern, mask, line.nameIndex)
    if (line.nameIndex === 0) this.#string(line.name)
    this.#string(line.value)
  }

  #string(text: string): void {
    this.#integer(0x00, 0x7f, text.length)
    this.#at += this.#target.write(text, this.#at, 'latin1')
  }

  /** RFC 7541 5.1. @param pattern the bits before the prefix */
  #integer(pattern: number, mask: number, value: number): void {
    const target = this.#target
    if (value < mask) {
      target[this.#at++] = pattern | value
      return
    }
    target[this.#at++] = pattern | mask
    let rest = value - mask
    while (rest >= 0x80) {
      target[this.#at++] = (rest & 0x7f) | 0x80
      rest >>>= 7
    }
    target[this.#at++] = rest
  }

  #insert(line: FieldLine): void {
    this.#evict(this.#maxSize - line.size)
    this.#numbers ??= new Map()
    this.#numbers.set(line, this.#firstNumber + this.#table.length)
    this.#table.push(line)
    this.#size += line.size
  }

  #evict(limit: number): void {
    while (this.#size > limit) {
      const oldest = this.#table.shift()
      if (oldest === undefined) return
      this.#firstNumber += 1
      this.#size -= oldest.size
      this.#numbers?.delete(oldest)
    }
  }
}
