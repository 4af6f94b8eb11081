// A request over HTTP/1 and its answer, on the runtime's IncomingMessage and ServerResponse. Adds
// what they lack: a head that leaves at once, an answer that reaches a client which is still sending.
import { STATUS_CODES, type IncomingMessage, type ServerResponse } from 'node:http'
import { destroyWhenSent, lingerOnClose } from '../connection/lingering-close.ts'
import { copyChunk, giveBack, isShort } from './buffer-pool.ts'
import type { BodySource } from './body.ts'
import { Exchange, type ResponseHead, type ExchangeDeps } from './exchange.ts'
import { ReadableBody } from './readable-body.ts'
import type { Http1Connection } from '../connection/client-connection.ts'
import { sendError } from './error-response.ts'
import type { Protocol } from '../message/request-parser.ts'
import { endsWithHead } from '../message/headers.ts'

export interface Http1Deps extends ExchangeDeps {
  /** `requests_per_connection`, as it is now. */
  readonly requestsPerConnection: () => number
}

const CONTINUE = 100

export class Http1Exchange extends Exchange {
  readonly #req: IncomingMessage
  readonly #res: ServerResponse
  readonly #http1: Http1Connection
  #hearsOfDrain = false

  constructor(
    req: IncomingMessage,
    res: ServerResponse,
    connection: Http1Connection,
    deps: Http1Deps,
    isUpgrade = false,
  ) {
    super(
      {
        protocol: protocolOf(req.httpVersion),
        method: req.method ?? '',
        target: req.url ?? '',
        authority: undefined,
        scheme: undefined,
        rawHeaders: req.rawHeaders,
        endsWithHead: false,
        upgrade: isUpgrade,
      },
      connection,
      deps,
    )
    this.#req = req
    this.#res = res
    this.#http1 = connection
    connection.began(this, deps.requestsPerConnection())
    res.on('finish', () => this.finished())
    res.on('error', ignore)
  }

  get body(): BodySource {
    return new ReadableBody(this.#req, () => this.isRequestComplete)
  }

  get canAnnounceTrailers(): boolean {
    return this.head.protocol === 'http/1.1' && this.head.method !== 'HEAD'
  }

  /** So that the next one can be read. */
  get isRequestComplete(): boolean {
    return this.#req.complete || !this.mayHaveBody
  }

  inform(status: number, headers: readonly string[]): void {
    // RFC 9110 15.2: an HTTP/1.0 client knows no interim responses.
    const res = this.#res
    if (this.head.protocol === 'http/1.0' || this.isOver || res.headersSent) return
    if (status === CONTINUE) res.writeContinue()
    else res.writeInformation(status, [...headers])
  }

  protected override writeHead({ status, reason, headers, contentLength }: ResponseHead): void {
    if (this.isOver) return
    const res = this.#res
    // Content-Length goes last: once it knows one, the runtime decodes a Content-Disposition anew, as
    // UTF-8, and the bytes of a file name would no longer be the upstream's.
    const hasLength = contentLength !== undefined && status !== 204
    if (hasLength) headers.push('content-length', contentLength)
    // HTTP/1.0 has no chunks: without a length, the connection's end is the answer's.
    const endsConnection = !hasLength && this.head.protocol === 'http/1.0'
    // A body that is still coming when the answer starts may never be read to its end.
    if (endsConnection || !this.isRequestComplete || this.#http1.isLast()) res.shouldKeepAlive = false
    try {
      res.writeHead(status, reason === '' ? STATUS_CODES[status] : reason, headers)
    } catch (error) {
      this.#onUnwritable(status)
      throw error
    }
    if (!res.shouldKeepAlive) this.#http1.isClosing = true
    this.status = status
    // Together with the first chunk, if that is here already; an event stream may be silent for long.
    process.nextTick(flushHead, res)
  }

  write(chunk: Buffer): boolean {
    if (this.isOver) return true
    this.bytesSent += chunk.length
    const copy = copyChunk(chunk)
    if (this.#res.write(copy, (error) => giveBack(copy, error))) return true
    this.awaitClient()
    if (!this.#hearsOfDrain) this.#res.on('drain', () => this.onDrained())
    this.#hearsOfDrain = true
    return false
  }

  end(trailers: readonly string[]): void {
    if (this.isOver || this.isEnded) return
    this.isEnded = true
    if (trailers.length > 0) this.#addTrailers(trailers)
    this.#beginEnd()
    this.#res.end()
  }

  endWith(last: Buffer): void {
    if (this.isOver || this.isEnded) return
    this.isEnded = true
    this.bytesSent += last.length
    this.#beginEnd()
    // As text a short body goes out in one piece with its head.
    if (isShort(last)) {
      this.#res.end(last.toString('latin1'), 'latin1')
    } else {
      const copy = copyChunk(last)
      this.#res.write(copy, (error) => giveBack(copy, error))
      this.#res.end()
    }
  }

  #beginEnd(): void {
    // An unread rest of the body would block the next request.
    if (this.mayHaveBody) this.#req.resume()
    if (!this.isRequestComplete || this.#http1.isSentTooMuch) this.#linger()
    this.awaitClient()
  }

  truncate(): void {
    if (this.isOver || this.isEnded) return
    this.isEnded = true
    this.#http1.socket.destroy()
  }

  closeAfterwards(): void {
    this.#res.shouldKeepAlive = false
    this.#http1.isClosing = true
  }

  onStalled(): void {
    this.#http1.socket.destroy()
  }

  onDrained(): void {
    this.drained()
  }

  /** The rest of the body is no HTTP. */
  onUnreadable(): void {
    sendError(this, 'BAD_FRAMING')
  }

  onConnectionClosed(): void {
    this.finished()
  }

  finished(): void {
    this.#http1.ended()
    this.over()
  }

  /** The runtime has kept a part of the head that it refused, the absence of a body among it. */
  #onUnwritable(status: number): void {
    this.closeAfterwards()
    if (endsWithHead(status)) this.#http1.socket.destroy()
  }

  #addTrailers(trailers: readonly string[]): void {
    const pairs: [string, string][] = []
    for (let i = 0; i < trailers.length; i += 2) pairs.push([trailers[i]!, trailers[i + 1]!])
    this.#res.addTrailers(pairs)
  }

  /** The client gets the whole response while it sends, and the connection ends once it has stopped. */
  #linger(): void {
    const { socket } = this.#http1
    lingerOnClose(socket)
    this.#req.once('end', () => destroyWhenSent(socket))
  }
}

function protocolOf(version: string): Protocol {
  if (version === '1.1') return 'http/1.1'
  return version === '1.0' ? 'http/1.0' : 'other'
}

function flushHead(res: ServerResponse): void {
  if (!res.destroyed && !res.writableEnded) res.flushHeaders()
}

function ignore(): void {}
