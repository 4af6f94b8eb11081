// HTTP/2 frames as bytes, written from RFC 9113 and RFC 7541 alone: also those that no client library
// would send. Header blocks use literals only, so that every byte of a name and a value is the test's.

export const FRAME = {
  data: 0,
  headers: 1,
  priority: 2,
  rstStream: 3,
  settings: 4,
  pushPromise: 5,
  ping: 6,
  goaway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const

export const FLAG = { endStream: 1, ack: 1, endHeaders: 4 } as const

export interface Frame {
  readonly type: number
  readonly flags: number
  readonly streamId: number
  readonly payload: Buffer
}

/** In the order in which they are to be sent; pseudo-headers are fields like any other here. */
export type Fields = readonly (readonly [name: string, value: string])[]

const PREFACE = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'
const FRAME_HEAD_BYTES = 9
const SETTINGS_HEADER_TABLE_SIZE = 1

export function frame(type: number, flags: number, streamId: number, payload: Uint8Array): Buffer {
  const head = Buffer.alloc(FRAME_HEAD_BYTES)
  head.writeUIntBE(payload.length, 0, 3)
  head.writeUInt8(type, 3)
  head.writeUInt8(flags, 4)
  head.writeUInt32BE(streamId, 5)
  return Buffer.concat([head, payload])
}

/** The client's side of the connection preface; no dynamic table, so that answers are easy to read. */
export function preface(): Buffer {
  const noTable = Buffer.from([0, SETTINGS_HEADER_TABLE_SIZE, 0, 0, 0, 0])
  return Buffer.concat([Buffer.from(PREFACE), frame(FRAME.settings, 0, 0, noTable)])
}

/** HEADERS with the whole block. */
export function headersFrame(streamId: number, fields: Fields, endStream = true): Buffer {
  const flags = FLAG.endHeaders | (endStream ? FLAG.endStream : 0)
  return frame(FRAME.headers, flags, streamId, headerBlock(fields))
}

export function dataFrame(streamId: number, text: string, endStream = true): Buffer {
  return frame(FRAME.data, endStream ? FLAG.endStream : 0, streamId, Buffer.from(text, 'latin1'))
}

export function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}

/** RFC 7541 6.2.2: literals without indexing, names and values as they are. */
export function headerBlock(fields: Fields): Buffer {
  return Buffer.concat(
    fields.flatMap(([name, value]) => [Buffer.of(0), literalString(name), literalString(value)]),
  )
}

/** RFC 7541 5.2, without Huffman coding. */
function literalString(text: string): Buffer {
  const bytes = Buffer.from(text, 'latin1')
  return Buffer.concat([prefixedInteger(bytes.length, 0x7f), bytes])
}

/** RFC 7541 5.1. @param limit the greatest value of the prefix */
function prefixedInteger(value: number, limit: number): Buffer {
  if (value < limit) return Buffer.of(value)
  const bytes = [limit]
  let rest = value - limit
  while (rest >= 0x80) {
    bytes.push((rest & 0x7f) | 0x80)
    rest >>= 7
  }
  return Buffer.from([...bytes, rest])
}

/** Takes whole frames off the front of `bytes`. */
export function readFrames(bytes: Buffer): { readonly frames: Frame[]; readonly rest: Buffer } {
  const frames: Frame[] = []
  let at = 0
  while (bytes.length - at >= FRAME_HEAD_BYTES) {
    const end = at + FRAME_HEAD_BYTES + bytes.readUIntBE(at, 3)
    if (bytes.length < end) break
    frames.push({
      type: bytes.readUInt8(at + 3),
      flags: bytes.readUInt8(at + 4),
      streamId: bytes.readUInt32BE(at + 5) & 0x7fff_ffff,
      payload: bytes.subarray(at + FRAME_HEAD_BYTES, end),
    })
    at = end
  }
  return { frames, rest: bytes.subarray(at) }
}

/** RFC 7541 appendix A, entries 8 to 14. */
const INDEXED_STATUSES = [200, 204, 206, 304, 400, 404, 500] as const
/** Appendix B: `0` to `2` have five bits, the other digits six. */
const SHORT_DIGITS = 3
const FIRST_LONG_DIGIT_CODE = 0b011001

/** `:status` of an answer's header block, where it always comes first (RFC 9113 8.3). */
export function statusOf(block: Buffer): number {
  let at = 0
  // A dynamic table size update may stand before it.
  while (((block[at] ?? 0) & 0xe0) === 0x20) at += 1
  const first = block[at] ?? 0
  if ((first & 0x80) !== 0) return INDEXED_STATUSES[(first & 0x7f) - 8] ?? 0
  const length = block[at + 1] ?? 0
  const text = block.subarray(at + 2, at + 2 + (length & 0x7f))
  return Number((length & 0x80) === 0 ? text.toString('latin1') : huffmanDigits(text))
}

function huffmanDigits(bytes: Buffer): string {
  let bits = [...bytes].map((byte) => byte.toString(2).padStart(8, '0')).join('')
  let digits = ''
  while (bits.length >= 5 && digits.length < 3) {
    const short = Number.parseInt(bits.slice(0, 5), 2)
    const isShort = short < SHORT_DIGITS
    digits += isShort ? short : Number.parseInt(bits.slice(0, 6), 2) - FIRST_LONG_DIGIT_CODE + SHORT_DIGITS
    bits = bits.slice(isShort ? 5 : 6)
  }
  return digits
}
