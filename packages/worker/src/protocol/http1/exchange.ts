// A request over HTTP/1 and its response. Decides how the response is framed (RFC 9112 6 and 7) and whether the
// connection stays open after it. Everything is sent through the out-buffer of the connection, a short response in one
// write.
import type { OutBuffer } from '../../io/out-buffer.ts'
import type { ClientConnection } from '../../connection/client-connection.ts'
import { endsWithHead, NO_CONTENT } from '../../message/headers.ts'
import type { BodySource } from '../body.ts'
import { sendError } from '../error-response.ts'
import { Exchange, type ExchangeDeps, type ResponseHead } from '../exchange.ts'
import { IncomingBody } from './incoming-body.ts'
import type { Http1RequestHead } from './request-head.ts'
import { fieldLines, responseHeadText } from './response-head.ts'

const CONTINUE = 100

/** The connection as its exchange sees it. */
export interface ExchangeCarrier extends ClientConnection {
  readonly out: OutBuffer
  /** The open exchange is the last. */
  isClosing: boolean
  /** `Keep-Alive`, with its CRLF. */
  readonly keepAliveLine: string
  /** Whether the response that is about to begin should be the last; false while requests wait behind it. */
  isLast(): boolean
  /** Continues to read: the body if it has a sink, or the next request. */
  readOn(): void
  /** Drops the part of the body that has arrived, if it has no sink. */
  skimBody(): void
  ended(exchange: Http1Exchange): void
}

export class Http1Exchange extends Exchange {
  /** The request has been read to its end. */
  isBodyRead = false
  /** Undefined until its first use. */
  incoming: IncomingBody | undefined
  readonly #carrier: ExchangeCarrier
  #isChunked = false
  #isContinued = false
  #hasContent = true

  constructor(head: Http1RequestHead, carrier: ExchangeCarrier, deps: ExchangeDeps) {
    super(head, carrier, deps)
    this.#carrier = carrier
  }

  get body(): BodySource {
    return (this.incoming ??= new IncomingBody(this.#carrier))
  }

  get canAnnounceTrailers(): boolean {
    return this.head.protocol === 'http/1.1' && this.head.method !== 'HEAD'
  }

  /** So that the next one can be read. */
  get isRequestComplete(): boolean {
    return this.isBodyRead || !this.mayHaveBody
  }

  inform(status: number, headers: readonly string[]): void {
    // RFC 9110 15.2: an HTTP/1.0 client knows no interim responses.
    if (this.head.protocol === 'http/1.0' || this.isOver || this.headersSent) return
    this.#isContinued ||= status === CONTINUE
    this.#carrier.out.text(`${responseHeadText(status, '', headers)}\r\n`)
  }

  protected override writeHead({ status, reason, headers, contentLength }: ResponseHead): void {
    if (this.isOver) return
    const carrier = this.#carrier
    let text = responseHeadText(status, reason, headers)
    const isVersion10 = this.head.protocol === 'http/1.0'
    const hasLength = contentLength !== undefined && status !== NO_CONTENT
    this.#hasContent = this.head.method !== 'HEAD' && !endsWithHead(status)
    this.#isChunked = this.#hasContent && !hasLength && !isVersion10
    if (!this.isRequestComplete) carrier.skimBody()
    // HTTP/1.0 has no chunks: without a length, the end of the connection ends the response.
    const endsConnection = this.#hasContent && !hasLength && isVersion10
    // A body that is still arriving when the response begins may never be read to its end. A client that waits for a 100
    // (Continue), which has not been sent, may send its body or not (RFC 9110 10.1.1).
    const isUncertain = !this.isRequestComplete || (this.expectsContinue && !this.#isContinued)
    if (endsConnection || isUncertain || carrier.isLast()) carrier.isClosing = true
    if (hasLength) text += `content-length: ${contentLength}\r\n`
    text += carrier.isClosing ? 'Connection: close\r\n' : `Connection: keep-alive\r\n${carrier.keepAliveLine}`
    carrier.out.text(this.#isChunked ? `${text}Transfer-Encoding: chunked\r\n\r\n` : `${text}\r\n`)
    this.status = status
  }

  write(chunk: Buffer): boolean {
    if (this.isOver || !this.#hasContent) return true
    this.#add(chunk)
    if (!this.#carrier.out.isBlocked) return true
    this.awaitClient()
    return false
  }

  end(trailers: readonly string[]): void {
    if (this.isOver || this.isEnded) return
    this.isEnded = true
    if (this.#isChunked) {
      this.#carrier.out.text(trailers.length === 0 ? '0\r\n\r\n' : `0\r\n${fieldLines(trailers)}\r\n`)
    }
    this.#finish()
  }

  endWith(last: Buffer): void {
    if (this.isOver || this.isEnded) return
    if (this.#hasContent) this.#add(last)
    this.end([])
  }

  truncate(): void {
    if (this.isOver || this.isEnded) return
    this.isEnded = true
    this.#carrier.out.flush()
    this.#carrier.socket.destroy()
  }

  closeAfterwards(): void {
    this.#carrier.isClosing = true
  }

  onStalled(): void {
    this.#carrier.socket.destroy()
  }

  onDrained(): void {
    this.drained()
  }

  /** The rest of the body cannot be parsed. */
  onUnreadable(): void {
    sendError(this, 'BAD_FRAMING')
    this.incoming?.gone()
  }

  /** All of the response has been sent, or nothing more can be sent. */
  finished(): void {
    if (this.isOver) return
    this.over()
    this.incoming?.gone()
    this.#carrier.ended(this)
  }

  #add(content: Buffer): void {
    const { length } = content
    if (length === 0) return
    this.bytesSent += length
    const { out } = this.#carrier
    // A chunk without bytes would be the last chunk.
    if (this.#isChunked) out.text(`${length.toString(16)}\r\n`)
    out.bytes(content, 0, length)
    if (this.#isChunked) out.text('\r\n')
  }

  #finish(): void {
    const { out } = this.#carrier
    if (out.isSettled) {
      this.finished()
      return
    }
    this.awaitClient()
    out.whenSettled(() => this.finished())
  }
}
