// A request over HTTP/2 and its response, on a stream of a session.
import type { Http2Connection } from '../../connection/client-connection.ts'
import { NO_CONTENT } from '../../message/headers.ts'
import type { BodySource } from '../body.ts'
import { currentHttpDate } from '../date.ts'
import { Exchange, type ExchangeDeps, type ResponseHead } from '../exchange.ts'
import { fieldLine, type FieldLine } from './hpack/field-line.ts'
import { ERROR } from './frames/frames.ts'
import type { Http2Stream, StreamOwner } from './streams/stream.ts'

/** A client that reads only one stream can keep the others waiting for so many times the deadline. */
const MAX_TURNS_MISSED = 10

export class Http2Exchange extends Exchange implements StreamOwner {
  readonly #stream: Http2Stream
  readonly #http2: Http2Connection
  /** How often its time was up since the last byte was sent. */
  #turnsMissed = 0

  constructor(stream: Http2Stream, connection: Http2Connection, deps: ExchangeDeps) {
    super(stream.head, connection, deps)
    this.#stream = stream
    this.#http2 = connection
    stream.owner = this
  }

  get body(): BodySource {
    return this.#stream.body
  }

  get isRequestComplete(): boolean {
    return this.#stream.isRequestComplete
  }

  get canAnnounceTrailers(): boolean {
    return this.head.method !== 'HEAD'
  }

  inform(status: number, headers: readonly string[]): void {
    if (!this.isOver && !this.headersSent) this.#stream.sendHead(status, linesOf(headers))
  }

  protected override writeHead({ status, headers, contentLength }: ResponseHead): void {
    if (this.isOver) return
    const lines = linesOf(headers)
    if (contentLength !== undefined && status !== NO_CONTENT)
      lines.push(fieldLine('content-length', contentLength))
    if (!lines.some(isDate)) lines.push(fieldLine('date', currentHttpDate()))
    this.status = status
    this.#stream.sendHead(status, lines)
  }

  write(chunk: Buffer): boolean {
    if (this.isOver) return true
    this.bytesSent += chunk.length
    if (this.#stream.write(chunk)) return true
    // A tunnel has its own deadline, for silence.
    if (this.head.method !== 'CONNECT') this.awaitClient()
    return false
  }

  end(trailers: readonly string[]): void {
    this.#end(undefined, trailers)
  }

  endWith(last: Buffer): void {
    if (!this.isOver && !this.isEnded) this.bytesSent += last.length
    this.#end(last, [])
  }

  truncate(): void {
    if (this.isOver || this.isEnded) return
    this.isEnded = true
    this.#stream.reset(ERROR.internalError)
  }

  /** Ends a tunnel towards the client, which may continue to send. */
  endHalf(): void {
    if (!this.isOver && !this.isEnded) this.#stream.endHalf()
  }

  /** Cuts a tunnel. Has no effect after its end. */
  cancel(): void {
    if (this.isOver || this.isEnded) return
    this.isEnded = true
    this.#stream.reset(ERROR.cancel)
  }

  closeAfterwards(): void {
    // A malformed request is an error of its stream alone (RFC 9113 8.1.1); the frames of the connection are valid.
  }

  /** On a slow link many streams share the bandwidth, and each may get little of it for a long time. */
  override isHeldUp(nowMs: number, timeoutMs: number): boolean {
    if (super.isHeldUp(nowMs, timeoutMs)) return true
    this.#turnsMissed += 1
    return this.#turnsMissed < MAX_TURNS_MISSED && nowMs - this.#http2.lastWroteMs < timeoutMs / 2
  }

  onStalled(): void {
    this.#stream.reset(ERROR.cancel)
  }

  // StreamOwner

  onDrain(): void {
    this.#turnsMissed = 0
    this.drained()
  }

  onStreamClosed(): void {
    this.over()
  }

  #end(last: Buffer | undefined, trailers: readonly string[]): void {
    if (this.isOver || this.isEnded) return
    this.isEnded = true
    this.#stream.end(last, trailerLinesOf(trailers))
    // Something is left for the client to read.
    if (!this.isOver) this.awaitClient()
  }
}

function linesOf(fields: readonly string[]): FieldLine[] {
  const lines: FieldLine[] = []
  for (let i = 0; i < fields.length; i += 2) lines.push(fieldLine(fields[i]!, fields[i + 1]!))
  return lines
}

function isDate({ name }: FieldLine): boolean {
  return name === 'date'
}

/** Drops all trailers if HTTP/2 does not allow one: the body is complete, and losing it would be worse. */
function trailerLinesOf(fields: readonly string[]): readonly FieldLine[] {
  try {
    return linesOf(fields)
  } catch {
    return []
  }
}
