// The streams of one connection: which are open, what the client may still send, and how each ends. The states of RFC
// 9113 5.1: a stream in the map here is open or half-closed, one in ClosedStreams is closed, one beyond `lastStreamId`
// is idle.
import { CLOSED, ClosedStreams } from './closed-streams.ts'
import type { FieldLine } from '../hpack/field-line.ts'
import { FLOOD, type Flood, type FloodGuard } from '../frames/flood-guard.ts'
import { ConnectionError, ERROR, MAX_31_BITS } from '../frames/frames.ts'
import type { Sender } from './sender.ts'
import { CONNECTION_WINDOW_BYTES } from './settings.ts'
import type { Http2Stream, StreamLink } from './stream.ts'

export interface StreamsEvents {
  /** The last open stream has closed. */
  onNoneOpen(): void
  /** Sending has shown that the connection has to end. */
  onFlood(kind: Flood): void
}

export class Streams implements StreamLink {
  /** The newest stream that the client has opened. */
  lastStreamId = 0
  /** Requests so far. */
  requests = 0
  readonly #open = new Map<number, Http2Stream>()
  readonly #closed = new ClosedStreams()
  readonly #sender: Sender
  readonly #guard: FloodGuard
  readonly #events: StreamsEvents
  /** Bytes that the client may still send on the connection. */
  #receiveWindow = CONNECTION_WINDOW_BYTES
  /** Bytes that sinks have taken and no WINDOW_UPDATE has announced yet. */
  #creditBytes = 0

  constructor(sender: Sender, guard: FloodGuard, events: StreamsEvents) {
    this.#sender = sender
    this.#guard = guard
    this.#events = events
  }

  get size(): number {
    return this.#open.size
  }

  get(streamId: number): Http2Stream | undefined {
    return this.#open.get(streamId)
  }

  /** How a stream that is not open has ended. */
  endOf(streamId: number): number {
    return this.#closed.endOf(streamId)
  }

  isIdle(streamId: number): boolean {
    return streamId > this.lastStreamId || streamId % 2 === 0
  }

  add(stream: Http2Stream): void {
    this.requests += 1
    this.#open.set(stream.id, stream)
  }

  /** A DATA frame has begun. @throws ConnectionError FLOW_CONTROL_ERROR */
  spendWindow(bytes: number): void {
    this.#receiveWindow -= bytes
    if (this.#receiveWindow < 0) throw new ConnectionError(ERROR.flowControlError, 'more than the window')
  }

  /** Applies a change of the client's SETTINGS_INITIAL_WINDOW_SIZE to every stream. @throws ConnectionError */
  changeWindows(difference: number): void {
    for (const stream of this.#open.values()) {
      stream.sendWindow += difference
      if (stream.sendWindow > MAX_31_BITS)
        throw new ConnectionError(ERROR.flowControlError, 'a window beyond 2^31-1')
      if (stream.isReady) this.awaitTurn(stream)
    }
  }

  /** RST_STREAM for a stream that the client has made an error on. @throws ConnectionError for one too many */
  fail(stream: Http2Stream, code: number): void {
    this.#guard.spend(FLOOD.streamError)
    this.reset(stream, code)
  }

  /** The same for a stream that is not open. @throws ConnectionError */
  refuse(streamId: number, code: number): void {
    this.#guard.spend(FLOOD.streamError)
    this.#sender.reset(streamId, code)
    this.#closed.add(streamId, CLOSED.resetByUs)
  }

  /** Frames of a stream that is never opened are dropped. */
  ignore(streamId: number): void {
    this.#closed.add(streamId, CLOSED.resetByUs)
  }

  close(stream: Http2Stream, end: number): void {
    if (!this.#open.delete(stream.id)) return
    this.#closed.add(stream.id, end)
    this.#sender.turns.remove(stream)
    stream.close()
    if (this.#open.size === 0) this.#events.onNoneOpen()
  }

  closeAll(): void {
    for (const stream of this.#open.values()) this.close(stream, CLOSED.ended)
  }

  // StreamLink

  get maySend(): boolean {
    return this.#sender.maySend
  }

  get sendWindow(): number {
    return this.#sender.window
  }

  sendHead(streamId: number, status: number, lines: readonly FieldLine[], endStream: boolean): void {
    this.#sender.sendHead(streamId, status, lines, endStream)
  }

  sendData(streamId: number, chunk: Buffer, from: number, to: number, endStream: boolean): void {
    this.#sender.sendData(streamId, chunk, from, to, endStream)
  }

  onTinyWindow(): void {
    if (!this.#guard.allows(FLOOD.tinyWindow)) this.#events.onFlood(FLOOD.tinyWindow)
  }

  sendEnd(streamId: number): void {
    this.#sender.sendEnd(streamId)
  }

  awaitTurn(stream: Http2Stream): void {
    this.#sender.turns.add(stream)
  }

  credit(streamId: number, connectionBytes: number, streamBytes: number): void {
    this.#creditBytes += connectionBytes
    if (this.#creditBytes >= CONNECTION_WINDOW_BYTES / 2) {
      this.#receiveWindow += this.#creditBytes
      this.#sender.windowUpdate(0, this.#creditBytes)
      this.#creditBytes = 0
    }
    if (streamBytes > 0) this.#sender.windowUpdate(streamId, streamBytes)
  }

  onResponseSent(stream: Http2Stream): void {
    if (stream.isRequestComplete) this.close(stream, CLOSED.ended)
    // RFC 9113 8.1: tells the client to stop sending the rest of the request.
    else if (!stream.isHalf) this.reset(stream, ERROR.noError)
  }

  reset(stream: Http2Stream, code: number): void {
    if (stream.isClosed) return
    this.#sender.reset(stream.id, code)
    this.close(stream, CLOSED.resetByUs)
  }
}
