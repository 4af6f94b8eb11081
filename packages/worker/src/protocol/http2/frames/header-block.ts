// Joins HEADERS and its CONTINUATION frames to one header block (RFC 9113 4.3 and 6.10). Bounds its bytes and frames.
import { FLOOD, floodError } from './flood-guard.ts'
import { ConnectionError, ERROR, FLAG, FRAME, PRIORITY_BYTES, protocolError } from './frames.ts'

/** A section of SETTINGS_MAX_HEADER_LIST_SIZE needs a few frames; so many are an attack. */
const MAX_CONTINUATIONS = 32

export class HeaderBlock {
  streamId = 0
  endStream = false
  /** HEADERS names a stream as its own parent. */
  dependsOnItself = false
  /** Valid once `add` has returned true, until the next call. */
  bytes: Buffer = Buffer.alloc(0)
  from = 0
  to = 0
  #isOpen = false
  #kept: Buffer[] = []
  #keptBytes = 0

  /** The next frame must be CONTINUATION. */
  get isOpen(): boolean {
    return this.#isOpen
  }

  /**
   * The payload of HEADERS.
   * @returns true: the block is complete
   * @throws ConnectionError
   */
  begin(flags: number, streamId: number, bytes: Buffer, from: number, to: number): boolean {
    let start = from
    let end = to
    if ((flags & FLAG.padded) !== 0) {
      if (start === end) throw protocolError('no room for the length of the padding')
      const padding = bytes[start]!
      start += 1
      if (padding > end - start) throw protocolError('padding longer than its frame')
      end -= padding
    }
    this.dependsOnItself = false
    if ((flags & FLAG.priority) !== 0) {
      if (end - start < PRIORITY_BYTES) throw protocolError('no room for the priority')
      this.dependsOnItself = (bytes.readUInt32BE(start) & 0x7fff_ffff) === streamId
      start += PRIORITY_BYTES
    }
    this.streamId = streamId
    this.endStream = (flags & FLAG.endStream) !== 0
    return this.#add(flags, bytes, start, end, Infinity)
  }

  /**
   * The payload of CONTINUATION.
   * @param limitBytes of the whole block
   * @returns true: the block is complete
   * @throws ConnectionError
   */
  continue(flags: number, bytes: Buffer, from: number, to: number, limitBytes: number): boolean {
    return this.#add(flags, bytes, from, to, limitBytes)
  }

  #add(flags: number, bytes: Buffer, from: number, to: number, limitBytes: number): boolean {
    const isComplete = (flags & FLAG.endHeaders) !== 0
    if (isComplete && this.#kept.length === 0) {
      this.bytes = bytes
      this.from = from
      this.to = to
      this.#isOpen = false
      return true
    }
    this.#keptBytes += to - from
    if (this.#keptBytes > limitBytes)
      throw new ConnectionError(ERROR.enhanceYourCalm, 'HTTP2_HEADERS_TOO_LARGE')
    if (this.#kept.length > MAX_CONTINUATIONS) throw floodError(FLOOD.continuation)
    this.#kept.push(Buffer.from(bytes.subarray(from, to)))
    this.#isOpen = !isComplete
    if (!isComplete) return false
    this.bytes = Buffer.concat(this.#kept)
    this.from = 0
    this.to = this.bytes.length
    this.#kept = []
    this.#keptBytes = 0
    return true
  }
}

/** A frame of this type may follow now. */
export function mayFollow(block: HeaderBlock, type: number, streamId: number): boolean {
  if (!block.isOpen) return type !== FRAME.continuation
  return type === FRAME.continuation && streamId === block.streamId
}
