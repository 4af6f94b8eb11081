// Writes header sections to the client. Encodes one straight into the writer's buffer, or splits it into HEADERS and
// CONTINUATION if it is larger than a frame (RFC 9113 4.3). Owns the encoder of its connection.
import type { FieldLine } from '../hpack/field-line.ts'
import { FLAG, FRAME, FRAME_HEAD_BYTES, MAX_FRAME_BYTES } from '../frames/frames.ts'
import { putFrameHead, type FrameWriter } from '../frames/frame-writer.ts'
import { HpackEncoder } from '../hpack/encoder.ts'

export class HeadWriter {
  readonly #writer: FrameWriter
  readonly #encoder = new HpackEncoder()

  constructor(writer: FrameWriter) {
    this.#writer = writer
  }

  /** SETTINGS_HEADER_TABLE_SIZE of the client. */
  setTableSize(bytes: number): void {
    this.#encoder.setTableSize(bytes)
  }

  /** @param status 0: trailers */
  write(streamId: number, status: number, lines: readonly FieldLine[], endStream: boolean): void {
    const limit = this.#encoder.limitOf(lines)
    const endFlag = endStream ? FLAG.endStream : 0
    if (limit > MAX_FRAME_BYTES) {
      this.#writeLarge(streamId, status, lines, endFlag, limit)
      return
    }
    const writer = this.#writer
    const buffer = writer.reserve(FRAME_HEAD_BYTES + limit)
    const at = writer.end
    const from = at + FRAME_HEAD_BYTES
    const end = this.#encoder.encode(status, lines, buffer, from)
    putFrameHead(buffer, at, end - from, FRAME.headers, FLAG.endHeaders | endFlag, streamId)
    writer.end = end
    if (!endStream) writer.markEndable(at, streamId)
  }

  #writeLarge(
    streamId: number,
    status: number,
    lines: readonly FieldLine[],
    endFlag: number,
    limit: number,
  ): void {
    const block = Buffer.allocUnsafeSlow(limit)
    const length = this.#encoder.encode(status, lines, block, 0)
    for (let at = 0; at < length; at += MAX_FRAME_BYTES) {
      const end = Math.min(length, at + MAX_FRAME_BYTES)
      const type = at === 0 ? FRAME.headers : FRAME.continuation
      const flags = (at === 0 ? endFlag : 0) | (end === length ? FLAG.endHeaders : 0)
      this.#writer.frameHead(end - at, type, flags, streamId)
      this.#writer.payload(block, at, end)
    }
  }
}
