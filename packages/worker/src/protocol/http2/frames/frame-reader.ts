// Splits the bytes of a connection into frames (RFC 9113 3.4 and 4), wherever reads end. DATA passes through as it
// arrives; any other frame is collected, in memory that its own length bounds. The session knows what frames mean.
import {
  FLAG,
  FRAME,
  FRAME_HEAD_BYTES,
  frameSizeError,
  MAX_31_BITS,
  MAX_FRAME_BYTES,
  PREFACE,
  protocolError,
} from './frames.ts'

/** `execute` throws what any of these throws. */
export interface FrameHandler {
  /** The head of a frame within our limit on length. Its payload may arrive much later. */
  onFrameHead(type: number, flags: number, streamId: number, length: number): void
  /** The payload of any frame but DATA. @param bytes valid until this returns */
  onPayload(type: number, flags: number, streamId: number, bytes: Buffer, from: number, to: number): void
  /** Content of the newest DATA frame, without padding. @param bytes those that `execute` was given */
  onData(bytes: Buffer, from: number, to: number): void
  /** The newest DATA frame is complete. */
  onDataEnd(): void
}

const STAGE = { preface: 0, head: 1, payload: 2, padLength: 3, data: 4, padding: 5 } as const

export class FrameReader {
  readonly #handler: FrameHandler
  #stage: number = STAGE.preface
  /** Bytes of the preface that have arrived. */
  #prefaceAt = 0
  /** The bytes of a head that reads have split. */
  readonly #head = Buffer.alloc(FRAME_HEAD_BYTES)
  #headBytes = 0
  #type = 0
  #flags = 0
  #streamId = 0
  /** Bytes that are still missing: of the payload, of the content, or of the padding. */
  #left = 0
  #padding = 0
  /** The payload of a frame that reads have split, with room for all of it. */
  #partial: Buffer | undefined

  constructor(handler: FrameHandler) {
    this.#handler = handler
  }

  /** A frame has begun, or the preface is not complete. */
  get isWithinFrame(): boolean {
    return this.#stage !== STAGE.head || this.#headBytes > 0
  }

  /**
   * @param chunk must not change afterwards if `onData` kept a part of it
   * @throws ConnectionError; the reader cannot be used again then
   */
  execute(chunk: Buffer): void {
    let at = 0
    while (at < chunk.length) {
      switch (this.#stage) {
        case STAGE.head:
          at = this.#readHead(chunk, at)
          break
        case STAGE.data:
          at = this.#readData(chunk, at)
          break
        case STAGE.payload:
          at = this.#readPayload(chunk, at)
          break
        case STAGE.padLength:
          this.#readPadLength(chunk[at]!)
          at += 1
          break
        case STAGE.padding: {
          const taken = Math.min(this.#left, chunk.length - at)
          this.#left -= taken
          at += taken
          if (this.#left === 0) this.#endData()
          break
        }
        default:
          at = this.#readPreface(chunk, at)
      }
    }
  }

  #readPreface(chunk: Buffer, at: number): number {
    const taken = Math.min(PREFACE.length - this.#prefaceAt, chunk.length - at)
    if (PREFACE.compare(chunk, at, at + taken, this.#prefaceAt, this.#prefaceAt + taken) !== 0)
      throw protocolError('HTTP2_BAD_PREFACE')
    this.#prefaceAt += taken
    if (this.#prefaceAt === PREFACE.length) this.#stage = STAGE.head
    return at + taken
  }

  #readHead(chunk: Buffer, at: number): number {
    if (this.#headBytes === 0 && chunk.length - at >= FRAME_HEAD_BYTES) {
      this.#onHead(chunk, at)
      return at + FRAME_HEAD_BYTES
    }
    const taken = Math.min(FRAME_HEAD_BYTES - this.#headBytes, chunk.length - at)
    chunk.copy(this.#head, this.#headBytes, at, at + taken)
    this.#headBytes += taken
    if (this.#headBytes === FRAME_HEAD_BYTES) {
      this.#headBytes = 0
      this.#onHead(this.#head, 0)
    }
    return at + taken
  }

  #onHead(bytes: Buffer, at: number): void {
    const length = (bytes[at]! << 16) | (bytes[at + 1]! << 8) | bytes[at + 2]!
    this.#type = bytes[at + 3]!
    this.#flags = bytes[at + 4]!
    this.#streamId = bytes.readUInt32BE(at + 5) & MAX_31_BITS
    if (length > MAX_FRAME_BYTES) throw frameSizeError('a frame larger than the setting')
    this.#handler.onFrameHead(this.#type, this.#flags, this.#streamId, length)
    this.#left = length
    if (this.#type !== FRAME.data) {
      this.#stage = STAGE.payload
      if (length === 0) this.#endPayload(bytes, 0, 0)
    } else if ((this.#flags & FLAG.padded) !== 0) {
      if (length === 0) throw frameSizeError('no room for the length of the padding')
      this.#stage = STAGE.padLength
    } else {
      this.#padding = 0
      this.#stage = STAGE.data
      if (length === 0) this.#endData()
    }
  }

  #readPayload(chunk: Buffer, at: number): number {
    const partial = this.#partial
    const taken = Math.min(this.#left, chunk.length - at)
    const end = at + taken
    if (partial === undefined) {
      if (taken === this.#left) {
        this.#endPayload(chunk, at, end)
        return end
      }
      this.#partial = Buffer.allocUnsafeSlow(this.#left)
      chunk.copy(this.#partial, 0, at, end)
      this.#left -= taken
      return end
    }
    chunk.copy(partial, partial.length - this.#left, at, end)
    this.#left -= taken
    if (this.#left === 0) {
      this.#partial = undefined
      this.#endPayload(partial, 0, partial.length)
    }
    return end
  }

  #endPayload(bytes: Buffer, from: number, to: number): void {
    this.#stage = STAGE.head
    this.#handler.onPayload(this.#type, this.#flags, this.#streamId, bytes, from, to)
  }

  #readPadLength(padding: number): void {
    this.#left -= 1
    if (padding > this.#left) throw protocolError('padding longer than its frame')
    this.#left -= padding
    this.#padding = padding
    this.#stage = STAGE.data
    if (this.#left === 0) this.#endContent()
  }

  #readData(chunk: Buffer, at: number): number {
    const taken = Math.min(this.#left, chunk.length - at)
    this.#left -= taken
    this.#handler.onData(chunk, at, at + taken)
    if (this.#left === 0) this.#endContent()
    return at + taken
  }

  #endContent(): void {
    if (this.#padding === 0) {
      this.#endData()
      return
    }
    this.#left = this.#padding
    this.#stage = STAGE.padding
  }

  #endData(): void {
    this.#stage = STAGE.head
    this.#handler.onDataEnd()
  }
}
