// Frames to the client, laid one behind the other into the buffer of its socket. Knows how they are laid out, and how much
// waits for the client to read; what is sent in which order is the session's decision.
import { OutBuffer } from '../../../io/out-buffer.ts'
import { FLAG, FRAME, FRAME_HEAD_BYTES } from './frames.ts'

export class FrameWriter extends OutBuffer {
  /** Laid out since the client has last read all. */
  unreadBytes = 0
  /** Where the newest frame begins, if it could still get END_STREAM, and whose it is. */
  #endableAt = -1
  #endableStream = 0
  #isClosed = false

  /** Writes what there is; nothing that comes later. */
  close(): void {
    this.flush()
    this.#isClosed = true
  }

  override flush(): void {
    this.#endableAt = -1
    if (this.#isClosed) this.end = 0
    super.flush()
  }

  /** Room for `length` bytes behind the head is reserved. @returns where they go, from `end` on */
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

  /** The payload, or the rest of it, of the newest frame. */
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

  /** The newest frame is HEADERS with END_HEADERS, or DATA; it begins at `at`. */
  markEndable(at: number, streamId: number): void {
    this.#endableAt = at
    this.#endableStream = streamId
  }

  /** Sets END_STREAM in the newest frame. @returns false: it is not the stream's, or has left already */
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
