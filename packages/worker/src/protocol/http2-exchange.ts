// A request over HTTP/2 and its answer, on the runtime's stream itself: the compatibility layer would
// build objects of what are lists here and there.
import { constants, type ServerHttp2Stream } from 'node:http2'
import { ProxyError } from '@reverse-proxy/shared/errors'
import { copyChunk, giveBack, isShort } from './buffer-pool.ts'
import type { BodySource } from './body.ts'
import { Exchange, type ResponseHead, type ExchangeDeps } from './exchange.ts'
import { ReadableBody } from './readable-body.ts'
import type { Http2Connection } from '../connection/client-connection.ts'
import type { RequestHead } from '../message/request-parser.ts'

const { NGHTTP2_CANCEL, NGHTTP2_NO_ERROR } = constants
const WITHOUT_BODY = { endStream: true } as const
const WITH_TRAILERS = { waitForTrailers: true } as const

/** A client that reads one stream cannot hold the others for longer than so many times the deadline. */
const MAX_TURNS_MISSED = 10

export class Http2Exchange extends Exchange {
  readonly #stream: ServerHttp2Stream
  readonly #http2: Http2Connection
  #trailers: readonly string[] = []
  #hearsOfDrain = false
  /** How often its time was up since it last got on. */
  #turnsMissed = 0

  constructor(
    stream: ServerHttp2Stream,
    rawHeaders: readonly string[],
    connection: Http2Connection,
    deps: ExchangeDeps,
  ) {
    super(parseHead(stream, rawHeaders), connection, deps)
    this.#stream = stream
    this.#http2 = connection
    connection.began(stream.id ?? 0, !stream.endAfterHeaders)
    stream.on('aborted', onAborted)
    stream.on('close', () => this.closed())
    stream.on('error', ignore)
  }

  /** The end of a tunnel's first direction is one whether the other has ended or not. */
  get body(): BodySource {
    return new ReadableBody(this.#stream, () => this.head.upgrade || this.isRequestComplete)
  }

  /** A reset with NO_ERROR ends the body for the runtime, however much of it is missing. */
  get isRequestComplete(): boolean {
    return this.#stream.endAfterHeaders || (this.#stream.readableEnded && !this.#stream.closed)
  }

  get canAnnounceTrailers(): boolean {
    return this.head.method !== 'HEAD'
  }

  inform(status: number, headers: readonly string[]): void {
    if (this.#isClosed || this.#stream.headersSent) return
    this.#stream.additionalHeaders({ ':status': String(status), ...fieldsOf(headers) })
  }

  protected override writeHead({ status, headers, contentLength }: ResponseHead): void {
    const stream = this.#stream
    if (this.#isClosed) return
    const list = [':status', String(status), ...headers]
    if (contentLength !== undefined && status !== 204) list.push('content-length', contentLength)
    if (this.head.method === 'HEAD') {
      stream.respond(list, WITHOUT_BODY)
    } else if (contentLength === undefined) {
      stream.on('wantTrailers', () => this.sendTrailers())
      stream.respond(list, WITH_TRAILERS)
    } else {
      stream.respond(list)
    }
    this.status = status
  }

  write(chunk: Buffer): boolean {
    if (this.#isClosed) return true
    this.bytesSent += chunk.length
    const copy = copyChunk(chunk)
    if (this.#stream.write(copy, (error) => giveBack(copy, error))) return true
    if (!this.#hearsOfDrain) this.#stream.on('drain', () => this.onDrained())
    this.#hearsOfDrain = true
    // A tunnel has a deadline of its own, for silence.
    if (this.head.method !== 'CONNECT') this.awaitClient()
    return false
  }

  end(trailers: readonly string[]): void {
    if (this.#mayEnd()) {
      this.#trailers = trailers
      this.#end(undefined)
    }
  }

  endWith(last: Buffer): void {
    if (!this.#mayEnd()) return
    this.bytesSent += last.length
    const copy = copyChunk(last)
    if (isShort(copy)) {
      // In one frame with the end of the stream.
      this.#end(copy)
    } else {
      this.#stream.write(copy, (error) => giveBack(copy, error))
      this.#end(undefined)
    }
  }

  #mayEnd(): boolean {
    if (!this.#isClosed && !this.isEnded) return true
    // The runtime reports no abort of a HEAD request. Nothing will read the rest of its body.
    if (this.#stream.closed) this.#stream.destroy()
    return false
  }

  #end(last: Buffer | undefined): void {
    this.isEnded = true
    const stream = this.#stream
    this.awaitClient()
    // Without a callback, for which the runtime would make an error as soon as the stream is closed.
    stream.end(last)
    if (stream.readableEnded) return
    // The rest of the request body is dropped, and after the response the client is asked to stop (RFC 9113 8.1).
    stream.resume()
    if (stream.endAfterHeaders) return
    if (stream.writableFinished) stream.close(NGHTTP2_NO_ERROR)
    else stream.once('finish', onAnsweredEarly)
  }

  truncate(): void {
    if (this.#isClosed || this.isEnded) return
    this.isEnded = true
    // INTERNAL_ERROR to the client. `close` would end what has been written first, as if that were all.
    this.#stream.destroy(new ProxyError('UPSTREAM_TRUNCATED', 'the answer was cut'))
  }

  /** Ends a tunnel towards the client, who may go on sending. */
  endHalf(): void {
    if (!this.#isClosed && !this.isEnded) this.#stream.end()
  }

  /** Cuts a tunnel. Without effect once it has been ended. */
  cancel(): void {
    if (this.#isClosed || this.isEnded) return
    this.isEnded = true
    this.#stream.close(NGHTTP2_CANCEL)
  }

  /** Calls back when no byte has passed on the stream for `timeoutMs`, in either direction. */
  onIdle(timeoutMs: number, callback: () => void): void {
    this.#stream.setTimeout(timeoutMs, callback)
  }

  closeAfterwards(): void {
    // A malformed request is an error of its stream (RFC 9113 8.1.1); the connection's framing is sound.
  }

  /** On a slow link many streams share what there is, and each may get little of it for long. */
  override isHeldUp(nowMs: number, timeoutMs: number): boolean {
    if (super.isHeldUp(nowMs, timeoutMs)) return true
    this.#turnsMissed += 1
    return this.#turnsMissed < MAX_TURNS_MISSED && nowMs - this.#http2.lastWroteMs < timeoutMs / 2
  }

  onStalled(): void {
    // Closing the stream takes a frame: of no use to a client that does not read at all.
    if (this.#stream.closed) this.#http2.socket.destroy()
    else this.#stream.close(NGHTTP2_CANCEL)
  }

  onDrained(): void {
    this.#turnsMissed = 0
    this.drained()
  }

  closed(): void {
    this.#http2.ended(!this.#stream.endAfterHeaders)
    this.over()
  }

  sendTrailers(): void {
    try {
      this.#stream.sendTrailers(fieldsOf(this.#trailers))
    } catch {
      // The body is complete; a field that HTTP/2 has no spelling for is not worth its loss.
      this.#stream.sendTrailers({})
    }
  }

  get #isClosed(): boolean {
    return this.isOver || this.#stream.closed || this.#stream.destroyed
  }
}

function parseHead(stream: ServerHttp2Stream, rawHeaders: readonly string[]): RequestHead {
  let method = ''
  let target = ''
  let authority: string | undefined
  let scheme: string | undefined
  let protocol: string | undefined
  let fields = 0
  // RFC 9113 8.3: pseudo-headers come first, each at most once, or the runtime has refused the stream.
  while (fields < rawHeaders.length && rawHeaders[fields]?.startsWith(':') === true) {
    const value = rawHeaders[fields + 1] ?? ''
    switch (rawHeaders[fields]) {
      case ':method':
        method = value
        break
      case ':path':
        target = value
        break
      case ':authority':
        authority = value
        break
      case ':scheme':
        scheme = value
        break
      case ':protocol':
        protocol = value
        break
      case undefined:
      default:
    }
    fields += 2
  }
  return {
    protocol: 'h2',
    method,
    target,
    authority,
    scheme,
    rawHeaders: rawHeaders.slice(fields),
    endsWithHead: stream.endAfterHeaders,
    upgrade: method === 'CONNECT' && protocol === 'websocket',
  }
}

/** A field that comes several times becomes an array. Any name is only a name, also `constructor`. */
function fieldsOf(list: readonly string[]): Record<string, string | string[]> {
  const fields = new Map<string, string | string[]>()
  for (let i = 0; i < list.length; i += 2) {
    const name = list[i]!.toLowerCase()
    const value = list[i + 1]!
    const present = fields.get(name)
    if (present === undefined) fields.set(name, value)
    else fields.set(name, Array.isArray(present) ? [...present, value] : [present, value])
  }
  return Object.fromEntries(fields)
}

// A reset by the client, or ours, before the answer has ended. The runtime takes NO_ERROR for the peaceful
// end of the request's body, however much of it is missing, and waits until somebody has read that.
function onAborted(this: ServerHttp2Stream): void {
  if (this.rstCode === NGHTTP2_NO_ERROR) this.destroy()
}

function onAnsweredEarly(this: ServerHttp2Stream): void {
  if (!this.readableEnded) this.close(NGHTTP2_NO_ERROR)
}

function ignore(): void {}
