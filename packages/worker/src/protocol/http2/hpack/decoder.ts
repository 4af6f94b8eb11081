// Decodes header blocks of the client (RFC 7541). Keeps the dynamic table of one connection, whose entries are fields
// that have been checked. Every block must be decoded, even if its stream is refused: the next block depends on it.
import { compressionError } from '../frames/frames.ts'
import { Field, fieldOf } from './field.ts'
import { decodedBytesLimit, decodeHuffman } from './huffman.ts'
import { STATIC_ENTRIES } from './static-table.ts'

/** Our SETTINGS_HEADER_TABLE_SIZE, the initial value. */
const TABLE_BYTES = 4_096
/** An entry counts 32 bytes at least; a power of two. */
const TABLE_ENTRIES = 128
/** No valid length or index is larger. */
const MAX_INTEGER_SHIFT = 21

const STATIC: readonly Field[] = [
  new Field('', '', 0),
  ...STATIC_ENTRIES.map(([name, value]) => fieldOf(name, value)),
]
const DYNAMIC_FROM = STATIC.length

export interface FieldLimits {
  /** Counted like SETTINGS_MAX_HEADER_LIST_SIZE (RFC 9113 6.5.2). */
  readonly bytes: number
  readonly count: number
}

/** Room for a decoded string; longer ones get their own. */
const scratch = Buffer.allocUnsafeSlow(8_192)

export class HpackDecoder {
  /** A ring; the newest entry is at `#newest`. */
  #table: (Field | undefined)[] | undefined
  #newest = 0
  #entries = 0
  #size = 0
  /** The size that the client has chosen. */
  #maxSize = TABLE_BYTES
  #bytes: Buffer = scratch
  #at = 0
  #end = 0

  /**
   * Appends the fields of a complete block to `list`.
   * @returns false if they are more than `limits` allow; the list is then incomplete
   * @throws ConnectionError COMPRESSION_ERROR
   */
  decode(bytes: Buffer, from: number, to: number, list: Field[], limits: FieldLimits): boolean {
    this.#bytes = bytes
    this.#at = from
    this.#end = to
    let listBytes = 0
    let isWithin = true
    let mayResize = true
    while (this.#at < to) {
      const first = bytes[this.#at]!
      if ((first & 0xe0) === 0x20) {
        if (!mayResize) throw compressionError('a table size update behind a field')
        this.#resize(this.#integer(0x1f))
        continue
      }
      mayResize = false
      const field = (first & 0x80) === 0 ? this.#literal(first) : this.#entry(this.#integer(0x7f))
      listBytes += field.size
      if (listBytes > limits.bytes || list.length === limits.count) isWithin = false
      if (isWithin) list.push(field)
    }
    // A copy, because the bytes belong to the transport.
    this.#bytes = scratch
    return isWithin
  }

  #literal(first: number): Field {
    const isIndexed = (first & 0x40) !== 0
    const nameIndex = this.#integer(isIndexed ? 0x3f : 0x0f)
    const name = nameIndex === 0 ? this.#string() : this.#entry(nameIndex).name
    const field = fieldOf(name, this.#string())
    if (isIndexed) this.#insert(field)
    return field
  }

  #entry(index: number): Field {
    if (index === 0) throw compressionError('index 0')
    if (index < DYNAMIC_FROM) return STATIC[index]!
    const age = index - DYNAMIC_FROM
    const field = age < this.#entries ? this.#table?.[(this.#newest - age) & (TABLE_ENTRIES - 1)] : undefined
    if (field === undefined) throw compressionError('an index beyond the table')
    return field
  }

  #insert(field: Field): void {
    // RFC 7541 4.4: an entry that is larger than the table empties it.
    this.#evict(this.#maxSize - field.size)
    if (field.size > this.#maxSize) return
    // oxlint-disable-next-line unicorn/no-new-array -- its length is what is wanted
    this.#table ??= new Array<Field | undefined>(TABLE_ENTRIES)
    this.#newest = (this.#newest + 1) & (TABLE_ENTRIES - 1)
    this.#table[this.#newest] = field
    this.#entries += 1
    this.#size += field.size
  }

  #evict(limit: number): void {
    while (this.#size > limit && this.#entries > 0) {
      const oldest = (this.#newest - this.#entries + 1) & (TABLE_ENTRIES - 1)
      this.#size -= this.#table![oldest]!.size
      this.#table![oldest] = undefined
      this.#entries -= 1
    }
  }

  #resize(size: number): void {
    if (size > TABLE_BYTES) throw compressionError('a table larger than the setting')
    this.#maxSize = size
    this.#evict(size)
  }

  /** RFC 7541 5.1. @param mask the bits of the prefix */
  #integer(mask: number): number {
    const bytes = this.#bytes
    let value = bytes[this.#at++]! & mask
    if (value < mask) return value
    for (let shift = 0; ; shift += 7) {
      if (this.#at >= this.#end) throw compressionError('an integer without end')
      if (shift > MAX_INTEGER_SHIFT) throw compressionError('an integer too large')
      const byte = bytes[this.#at++]!
      value += (byte & 0x7f) << shift
      if (byte < 0x80) return value
    }
  }

  #string(): string {
    if (this.#at >= this.#end) throw compressionError('a field without end')
    const isHuffman = (this.#bytes[this.#at]! & 0x80) !== 0
    const length = this.#integer(0x7f)
    const from = this.#at
    const to = from + length
    if (to > this.#end) throw compressionError('a string longer than its block')
    this.#at = to
    if (!isHuffman) return this.#bytes.toString('latin1', from, to)
    const limit = decodedBytesLimit(length)
    const target = limit <= scratch.length ? scratch : Buffer.allocUnsafeSlow(limit)
    return target.toString('latin1', 0, decodeHuffman(this.#bytes, from, to, target))
  }
}
