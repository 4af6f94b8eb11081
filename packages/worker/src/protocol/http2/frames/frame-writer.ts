// Writes frames into the out-buffer of the socket, one behind the other. Knows their layout and how much waits for the
// client to read. The sender decides what is sent, and in which order.
import { OutBuffer } from '../../../io/out-buffer.ts'
import { FLAG, FRAME, FRAME_HEAD_BYTES } from './frames.ts'

export class FrameWriter extends OutBuffer {
  /** Bytes written since the client last read everything. */
  unreadBytes = 0
  /** The position and the stream of the newest frame, if it can still get END_STREAM. */
  #endableAt = -1
  #endableStream = 0
  #isClosed = false

  /** Sends what has been written; drops what is written later. */
  close(): void {
    this.flush()
    this.#isClosed = true
  }

  override flush(): void {
    this.#endableAt = -1
    if (this.#isClosed) this.end = 0
    super.flush()
  }

  /** Writes a head and reserves `length` bytes behind it. @returns the buffer; they go to `end` */
  frameHead(length: number, type: number, flags: number, streamId: number): Buffer {
    const buffer = this.reserve(FRAME_HEAD_BYTES + length)
    this.#endableAt = -1
    putFrameHead(buffer, this.end, length, type, flags, streamId)
    this.end += FRAME_HEAD_BYTES
    if (this.isBlocked) this.unreadBytes += FRAME_HEAD_BYTES + length
    return buffer
  }

  /** A frame whose payload is one number. */
  frameOfNumber(type: number, streamId: number, value: number): void {
    const buffer = this.frameHead(4, type, 0, streamId)
    this.end = buffer.writeUInt32BE(value, this.end)
  }

  /** Writes the payload of the newest frame, or the rest of it. */
  payload(source: Buffer, from: number, to: number): void {
    source.copy(this.reserve(0), this.end, from, to)
    this.end += to - from
  }

  data(streamId: number, chunk: Buffer, from: number, to: number, flags: number): void {
    const buffer = this.frameHead(to - from, FRAME.data, flags, streamId)
    this.markEndable(this.end - FRAME_HEAD_BYTES, streamId)
    chunk.copy(buffer, this.end, from, to)
    this.end += to - from
  }

  /** Notes that the newest frame, at `at`, can get END_STREAM: HEADERS with END_HEADERS, or DATA. */
  markEndable(at: number, streamId: number): void {
    this.#endableAt = at
    this.#endableStream = streamId
  }

  /** Sets END_STREAM in the newest frame. @returns false: it is of another stream, or has been sent */
  endInPlace(streamId: number): boolean {
    if (this.#endableAt === -1 || this.#endableStream !== streamId) return false
    this.reserve(0)[this.#endableAt + 4]! |= FLAG.endStream
    this.#endableAt = -1
    return true
  }
}

export function putFrameHead(
  buffer: Buffer,
  at: number,
  length: number,
  type: number,
  flags: number,
  streamId: number,
): void {
  buffer[at] = length >> 16
  buffer[at + 1] = length >> 8
  buffer[at + 2] = length
  buffer[at + 3] = type
  buffer[at + 4] = flags
  buffer.writeUInt32BE(streamId, at + 5)
}
