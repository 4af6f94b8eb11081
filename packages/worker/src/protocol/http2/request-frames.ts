// Handles HEADERS, CONTINUATION, DATA and RST_STREAM of one connection: receives requests and checks them. Decodes every
// header block, even for a stream that is refused, because the next block depends on it.
import { CLOSED } from './streams/closed-streams.ts'
import type { Field } from './hpack/field.ts'
import { FLOOD, type FloodGuard } from './frames/flood-guard.ts'
import { ConnectionError, ERROR, FLAG, protocolError } from './frames/frames.ts'
import { HeaderBlock } from './frames/header-block.ts'
import { HpackDecoder } from './hpack/decoder.ts'
import { areTrailers, requestHeadOf, type Http2RequestHead } from './streams/request-head.ts'
import type { SessionLimits } from './streams/settings.ts'
import type { Http2Stream } from './streams/stream.ts'
import type { Streams } from './streams/streams.ts'

export interface RequestFramesDeps {
  readonly streams: Streams
  readonly guard: FloodGuard
  readonly limits: () => SessionLimits
  /** A request that is well-formed, on a stream that is not open yet. */
  readonly open: (streamId: number, head: Http2RequestHead) => void
}

export class RequestFrames {
  /** A header section has begun and is not complete. */
  isWithinHead = false
  /** GOAWAY has named the last stream; newer ones are not served. */
  isFinishing = false
  readonly block = new HeaderBlock()
  readonly #streams: Streams
  readonly #guard: FloodGuard
  readonly #deps: RequestFramesDeps
  readonly #decoder = new HpackDecoder()
  readonly #fields: Field[] = []
  /** Stream of the newest DATA frame; undefined: its content is dropped. */
  #dataStream: Http2Stream | undefined
  #dataFlags = 0
  /** Bytes of its payload that are not content so far: padding, or content that has not arrived. */
  #overheadBytes = 0

  constructor(deps: RequestFramesDeps) {
    this.#streams = deps.streams
    this.#guard = deps.guard
    this.#deps = deps
  }

  onDataHead(flags: number, streamId: number, length: number): void {
    if (this.#streams.isIdle(streamId)) throw protocolError('DATA on an idle stream')
    this.#streams.spendWindow(length)
    if (length === 0 && (flags & FLAG.endStream) === 0) this.#guard.spend(FLOOD.emptyData)
    this.#dataFlags = flags
    this.#overheadBytes = length
    this.#dataStream = undefined
    const stream = this.#streams.get(streamId)
    if (stream === undefined) {
      this.#onClosedStream(streamId)
    } else if (stream.isRequestComplete) {
      this.#streams.fail(stream, ERROR.streamClosed)
    } else if (stream.receiveWindow < length) {
      this.#streams.fail(stream, ERROR.flowControlError)
    } else {
      stream.receiveWindow -= length
      this.#dataStream = stream
    }
  }

  onData(bytes: Buffer, from: number, to: number): void {
    const length = to - from
    this.#overheadBytes -= length
    const stream = this.#dataStream
    if (stream === undefined || stream.isClosed) {
      this.#streams.credit(0, length, 0)
    } else if (!stream.receive(bytes, from, to)) {
      this.#streams.credit(0, length, 0)
      this.#streams.fail(stream, ERROR.protocolError)
    }
  }

  onDataEnd(): void {
    const stream = this.#dataStream
    const overhead = this.#overheadBytes
    this.#dataStream = undefined
    if (stream === undefined || stream.isClosed) {
      if (overhead > 0) this.#streams.credit(0, overhead, 0)
      return
    }
    if (overhead > 0) stream.onTaken(overhead)
    if ((this.#dataFlags & FLAG.endStream) !== 0) this.#endRequest(stream)
  }

  /** The payload of HEADERS. */
  onHeaders(flags: number, streamId: number, bytes: Buffer, from: number, to: number): void {
    if (this.block.begin(flags, streamId, bytes, from, to)) this.#onBlock()
  }

  /** The payload of CONTINUATION. */
  onContinuation(flags: number, bytes: Buffer, from: number, to: number): void {
    if (this.block.continue(flags, bytes, from, to, this.#deps.limits().fields.bytes)) this.#onBlock()
  }

  onReset(streamId: number): void {
    this.#guard.spend(FLOOD.reset)
    const stream = this.#streams.get(streamId)
    if (stream !== undefined) this.#streams.close(stream, CLOSED.resetByClient)
  }

  #onBlock(): void {
    this.isWithinHead = false
    const { streamId, bytes, from, to, endStream, dependsOnItself } = this.block
    const fields = this.#fields
    fields.length = 0
    const limits = this.#deps.limits()
    const isWithin = this.#decoder.decode(bytes, from, to, fields, limits.fields)
    const streams = this.#streams
    const stream = streams.get(streamId)
    if (stream !== undefined) {
      this.#onTrailers(stream, isWithin, endStream)
    } else if (!streams.isIdle(streamId)) {
      this.#onClosedHeaders(streamId)
    } else {
      streams.lastStreamId = streamId
      if (this.isFinishing) {
        this.#guard.spend(FLOOD.streamError)
        streams.ignore(streamId)
      } else if (streams.size >= limits.maxStreams) {
        streams.refuse(streamId, ERROR.refusedStream)
      } else if (!isWithin) {
        streams.refuse(streamId, ERROR.enhanceYourCalm)
      } else {
        const head = dependsOnItself ? undefined : requestHeadOf(fields, endStream)
        if (head === undefined) streams.refuse(streamId, ERROR.protocolError)
        else this.#deps.open(streamId, head)
      }
    }
  }

  #onTrailers(stream: Http2Stream, isWithin: boolean, endStream: boolean): void {
    if (stream.isRequestComplete) this.#streams.fail(stream, ERROR.streamClosed)
    else if (!isWithin) this.#streams.fail(stream, ERROR.enhanceYourCalm)
    // RFC 9113 8.1: a second section ends the request.
    else if (!endStream || !areTrailers(this.#fields)) this.#streams.fail(stream, ERROR.protocolError)
    else this.#endRequest(stream)
  }

  #endRequest(stream: Http2Stream): void {
    if (!stream.endRequest()) this.#streams.fail(stream, ERROR.protocolError)
    else if (stream.isResponseSent) this.#streams.close(stream, CLOSED.ended)
  }

  #onClosedHeaders(streamId: number): void {
    // Decoding it has cost us something.
    this.#guard.spend(FLOOD.streamError)
    if (this.#streams.endOf(streamId) === CLOSED.unknown)
      throw protocolError('HEADERS of a stream that was passed over')
    this.#onClosedStream(streamId)
  }

  /** RFC 9113 5.1, closed: what a frame means depends on how the stream ended. */
  #onClosedStream(streamId: number): void {
    switch (this.#streams.endOf(streamId)) {
      case CLOSED.resetByUs:
        // The client may not have seen our RST_STREAM yet.
        break
      case CLOSED.resetByClient:
        this.#streams.refuse(streamId, ERROR.streamClosed)
        break
      default:
        throw new ConnectionError(ERROR.streamClosed, 'a frame on a stream that has ended')
    }
  }
}
