// One stream: a request in and a response out, each with its own end and its own window. Knows what may still be sent
// and received on it. The sender decides when it is its turn to send.
import type { FieldLine } from '../hpack/field-line.ts'
import { MAX_FRAME_BYTES } from '../frames/frames.ts'
import { parsePriority, DEFAULT_PRIORITY, type Priority } from './priority.ts'
import type { Http2RequestHead } from './request-head.ts'
import { SendQueue } from './send-queue.ts'
import { STREAM_WINDOW_BYTES } from './settings.ts'
import { StreamBody, type BodyCredit } from './stream-body.ts'

/** The connection as its streams use it. */
export interface StreamLink {
  /** The client reads fast enough to be sent more than control frames. */
  readonly maySend: boolean
  /** Window of the connection: `sendData` may send so many bytes. */
  readonly sendWindow: number
  sendHead(streamId: number, status: number, lines: readonly FieldLine[], endStream: boolean): void
  sendData(streamId: number, chunk: Buffer, from: number, to: number, endStream: boolean): void
  /** A frame was cut short because a window was nearly used up. */
  onTinyWindow(): void
  /** Sends END_STREAM after what has been sent on the stream. */
  sendEnd(streamId: number): void
  /** It has something to send and may send it. */
  awaitTurn(stream: Http2Stream): void
  /** The client may send more: RFC 9113 6.9. @param streamBytes 0 if the stream gets no more */
  credit(streamId: number, connectionBytes: number, streamBytes: number): void
  /** Our side has ended, and the client's if `isRequestComplete`. */
  onResponseSent(stream: Http2Stream): void
  reset(stream: Http2Stream, code: number): void
}

export interface StreamOwner {
  /** After `write` returned false: everything has been sent. */
  onDrain(): void
  /** The stream has closed in both directions. Once. */
  onStreamClosed(): void
}

interface PendingHead {
  readonly status: number
  readonly lines: readonly FieldLine[]
}

/** A shorter frame, when there is more to send, counts as cut short. */
const TINY_BYTES = 256
const NO_LINES: readonly FieldLine[] = []

export class Http2Stream implements BodyCredit {
  readonly id: number
  readonly head: Http2RequestHead
  owner: StreamOwner | undefined
  priority: Priority
  /** Used by Turns alone. */
  isWaiting = false
  /** END_STREAM has arrived. */
  isRequestComplete: boolean
  /** END_STREAM has been sent. */
  isResponseSent = false
  isClosed = false
  /** Our end leaves the other direction open: it is a tunnel. */
  isHalf = false
  /** May be negative (RFC 9113 6.9.2). */
  sendWindow: number
  /** Bytes that the client may still send. */
  receiveWindow = STREAM_WINDOW_BYTES
  readonly #link: StreamLink
  #body: StreamBody | undefined
  #contentBytes = 0
  /** Bytes that the sink has taken and no WINDOW_UPDATE has announced yet. */
  #creditBytes = 0
  /** Not sent yet: interim heads and the final one. */
  #heads: PendingHead[] = []
  /** Not sent yet; made when the client is slower than the upstream. */
  #queue: SendQueue | undefined
  #isEnding = false
  #trailers = NO_LINES
  #mustDrain = false

  constructor(id: number, head: Http2RequestHead, sendWindow: number, link: StreamLink) {
    this.id = id
    this.head = head
    this.priority = head.priority === undefined ? DEFAULT_PRIORITY : parsePriority(head.priority)
    this.isRequestComplete = head.endsWithHead
    this.sendWindow = sendWindow
    this.#link = link
  }

  get body(): StreamBody {
    if (this.#body === undefined) {
      this.#body = new StreamBody(this)
      if (this.head.endsWithHead) this.#body.end()
    }
    return this.#body
  }

  /** Everything written so far has been put into the out-buffer. */
  get isDrained(): boolean {
    return this.#heads.length === 0 && !this.#hasContent
  }

  /** It has something to send, and its own window allows it. */
  get isReady(): boolean {
    if (this.isClosed || this.isResponseSent) return false
    if (this.#heads.length > 0) return true
    return this.#hasContent ? this.sendWindow > 0 : this.#isEnding
  }

  /** Its next frame needs window of the connection. */
  get needsWindow(): boolean {
    return this.#heads.length === 0 && this.#hasContent
  }

  // The request

  /** @returns false: the body is longer than declared */
  receive(bytes: Buffer, from: number, to: number): boolean {
    this.#contentBytes += to - from
    if (this.head.contentLength !== undefined && this.#contentBytes > this.head.contentLength) return false
    this.body.receive(bytes, from, to)
    return true
  }

  /** @returns false: the body is shorter than declared */
  endRequest(): boolean {
    this.isRequestComplete = true
    if (this.head.contentLength !== undefined && this.#contentBytes !== this.head.contentLength) return false
    this.body.end()
    return true
  }

  onTaken(bytes: number): void {
    this.#creditBytes += bytes
    if (this.isRequestComplete || this.isClosed || this.#creditBytes < STREAM_WINDOW_BYTES / 2) {
      this.#link.credit(this.id, bytes, 0)
      return
    }
    const streamBytes = this.#creditBytes
    this.#creditBytes = 0
    this.receiveWindow += streamBytes
    this.#link.credit(this.id, bytes, streamBytes)
  }

  onDropped(bytes: number): void {
    this.#link.credit(this.id, bytes, 0)
  }

  // The response

  /** An interim head or the final one. */
  sendHead(status: number, lines: readonly FieldLine[]): void {
    if (this.isClosed || this.isResponseSent) return
    if (this.#link.maySend && this.#heads.length === 0) {
      this.#link.sendHead(this.id, status, lines, false)
      return
    }
    this.#heads.push({ status, lines })
    this.#link.awaitTurn(this)
  }

  /**
   * @param chunk the caller may reuse it afterwards
   * @returns false: `onDrain` is called when it has been sent
   */
  write(chunk: Buffer): boolean {
    if (this.isClosed || this.#isEnding) return true
    const sent = this.isDrained ? this.#sendNow(chunk, false) : 0
    if (sent === chunk.length || this.isClosed) return true
    this.#keep(chunk, sent)
    this.#mustDrain = true
    return false
  }

  /** Ends the response. @param last the last of its body, as for `write` */
  end(last: Buffer | undefined, trailers: readonly FieldLine[] = NO_LINES): void {
    if (this.isClosed) return
    if (this.#isEnding) {
      if (this.isHalf) this.#endOtherHalf()
      return
    }
    this.#isEnding = true
    this.#trailers = trailers
    if (last !== undefined && last.length > 0) {
      const sent = this.isDrained ? this.#sendNow(last, trailers.length === 0) : 0
      if (this.isResponseSent || this.isClosed) return
      if (sent < last.length) {
        this.#keep(last, sent)
        return
      }
    }
    if (this.isDrained && this.#link.maySend) this.#sendEnd()
    else this.#link.awaitTurn(this)
  }

  /** Ends our direction of a tunnel; the client may continue to send. */
  endHalf(): void {
    this.isHalf = true
    this.end(undefined)
  }

  /** Sends what one turn allows. */
  takeTurn(): void {
    for (const { status, lines } of this.#heads) this.#link.sendHead(this.id, status, lines, false)
    if (this.#heads.length > 0) this.#heads = []
    const chunk = this.#queue?.first
    if (this.#queue !== undefined && chunk !== undefined) {
      const isLast = this.#queue.isLast && this.#isEnding && this.#trailers.length === 0
      const from = chunk.at
      const to = Math.min(chunk.end, from + this.#mayNowSend())
      chunk.at = to
      if (to > from) this.#sendFrame(chunk.memory, from, to, chunk.end, isLast && to === chunk.end)
      if (to === chunk.end) this.#queue.drop()
    } else if (this.#isEnding && !this.isResponseSent) {
      this.#sendEnd()
    }
    if (!this.#mustDrain || !this.isDrained || this.isClosed) return
    this.#mustDrain = false
    this.owner?.onDrain()
  }

  reset(code: number): void {
    if (!this.isClosed) this.#link.reset(this, code)
  }

  /** Called by the session alone. */
  close(): void {
    this.isClosed = true
    this.#heads = []
    this.#queue?.clear()
    const { owner } = this
    this.owner = undefined
    owner?.onStreamClosed()
    this.#body?.close()
  }

  /** @returns up to where it has been sent */
  #sendNow(chunk: Buffer, endStream: boolean): number {
    const end = chunk.length
    let at = 0
    while (at < end && this.#link.maySend) {
      const to = Math.min(end, at + this.#mayNowSend())
      if (to === at) break
      this.#sendFrame(chunk, at, to, end, endStream && to === end)
      at = to
    }
    return at
  }

  #endOtherHalf(): void {
    this.isHalf = false
    if (this.isResponseSent) this.#link.onResponseSent(this)
  }

  #mayNowSend(): number {
    return Math.max(0, Math.min(MAX_FRAME_BYTES, this.sendWindow, this.#link.sendWindow))
  }

  /** @param end of the content; the frame may be shorter */
  #sendFrame(chunk: Buffer, from: number, to: number, end: number, endStream: boolean): void {
    this.sendWindow -= to - from
    this.#link.sendData(this.id, chunk, from, to, endStream)
    if (to < end && to - from < TINY_BYTES) this.#link.onTinyWindow()
    if (endStream) this.#ended()
  }

  #sendEnd(): void {
    if (this.#trailers.length > 0) this.#link.sendHead(this.id, 0, this.#trailers, true)
    else this.#link.sendEnd(this.id)
    this.#ended()
  }

  #ended(): void {
    this.isResponseSent = true
    this.#link.onResponseSent(this)
  }

  #keep(chunk: Buffer, from: number): void {
    this.#queue ??= new SendQueue()
    this.#queue.add(chunk, from)
    if (this.isReady) this.#link.awaitTurn(this)
  }

  get #hasContent(): boolean {
    return this.#queue !== undefined && !this.#queue.isEmpty
  }
}
