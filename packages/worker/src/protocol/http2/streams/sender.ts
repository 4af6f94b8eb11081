// Sends everything to the client of one connection: control frames at once; heads and content as the windows and the
// client's reading allow, with the streams taking turns.
import type { OutSocket } from '../../../io/out-buffer.ts'
import type { FieldLine } from '../hpack/field-line.ts'
import type { FloodGuard } from '../frames/flood-guard.ts'
import { FrameWriter } from '../frames/frame-writer.ts'
import {
  ERROR,
  FLAG,
  FRAME,
  GOAWAY_BYTES,
  INITIAL_WINDOW_BYTES,
  MAX_31_BITS,
  PING_BYTES,
} from '../frames/frames.ts'
import { HeadWriter } from './head-writer.ts'
import type { Priority } from './priority.ts'
import type { Http2Stream } from './stream.ts'
import { Turns } from './turns.ts'

/** Bytes of replies to control frames that may wait for the client to read. */
const MAX_UNREAD_BYTES = 65_536

export class Sender {
  readonly turns = new Turns<Http2Stream>()
  /** Window of the connection. */
  window = INITIAL_WINDOW_BYTES
  readonly #writer: FrameWriter
  readonly #heads: HeadWriter
  readonly #guard: FloodGuard
  #isClosed = false

  constructor(socket: OutSocket, guard: FloodGuard) {
    this.#writer = new FrameWriter(socket)
    this.#heads = new HeadWriter(this.#writer)
    this.#guard = guard
  }

  get maySend(): boolean {
    return !this.#writer.isBlocked && !this.#isClosed
  }

  /** The client makes us reply, and reads nothing. */
  get isUnread(): boolean {
    return this.#writer.unreadBytes > MAX_UNREAD_BYTES
  }

  /** Sends everything written so far; nothing more is written. */
  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#writer.close()
  }

  onDrain(): void {
    this.#writer.unreadBytes = 0
    this.pump()
  }

  setTableSize(bytes: number): void {
    this.#heads.setTableSize(bytes)
  }

  // For streams

  sendHead(streamId: number, status: number, lines: readonly FieldLine[], endStream: boolean): void {
    this.#heads.write(streamId, status, lines, endStream)
  }

  sendData(streamId: number, chunk: Buffer, from: number, to: number, endStream: boolean): void {
    this.window -= to - from
    this.#writer.data(streamId, chunk, from, to, endStream ? FLAG.endStream : 0)
    this.#guard.sentData(to - from)
  }

  sendEnd(streamId: number): void {
    if (!this.#writer.endInPlace(streamId)) this.#writer.frameHead(0, FRAME.data, FLAG.endStream, streamId)
  }

  /** Lets streams send in turns as long as the client reads. */
  pump(): void {
    let waiting: Http2Stream[] | undefined
    while (this.maySend) {
      const stream = this.turns.next()
      if (stream === undefined) break
      if (!stream.isReady) continue
      if (this.window <= 0 && stream.needsWindow) {
        waiting ??= []
        waiting.push(stream)
        continue
      }
      stream.takeTurn()
      if (stream.isReady) this.turns.add(stream)
    }
    if (waiting === undefined) return
    for (const stream of waiting) if (stream.isReady) this.turns.add(stream)
  }

  reprioritise(stream: Http2Stream, priority: Priority): void {
    const isWaiting = stream.isWaiting
    this.turns.remove(stream)
    stream.priority = priority
    if (isWaiting) this.turns.add(stream)
  }

  // Control frames

  settings(payload: Buffer): void {
    this.#writer.frameHead(payload.length, FRAME.settings, 0, 0)
    this.#writer.payload(payload, 0, payload.length)
  }

  acknowledgeSettings(): void {
    this.#writer.frameHead(0, FRAME.settings, FLAG.ack, 0)
  }

  acknowledgePing(bytes: Buffer, from: number): void {
    this.#writer.frameHead(PING_BYTES, FRAME.ping, FLAG.ack, 0)
    this.#writer.payload(bytes, from, from + PING_BYTES)
  }

  reset(streamId: number, code: number): void {
    this.#writer.frameOfNumber(FRAME.rstStream, streamId, code)
  }

  windowUpdate(streamId: number, bytes: number): void {
    this.#writer.frameOfNumber(FRAME.windowUpdate, streamId, bytes)
  }

  goaway(lastStreamId: number, code: number = ERROR.noError): void {
    const payload = Buffer.alloc(GOAWAY_BYTES)
    payload.writeUInt32BE(lastStreamId & MAX_31_BITS, 0)
    payload.writeUInt32BE(code, 4)
    this.#writer.frameHead(GOAWAY_BYTES, FRAME.goaway, 0, 0)
    this.#writer.payload(payload, 0, payload.length)
  }
}
