// A request body on its way into the upstream's socket: framed by us (RFC 9112 6 and 7), as long as the head
// said, and no faster than the upstream reads.
import type { Socket } from 'node:net'
import { ProxyError } from '@reverse-proxy/shared/errors'
import type { BodySink, BodySource } from '../../protocol/body.ts'

export interface UploadEvents {
  onUploaded(): void
  /** The upstream reads no more for now. */
  onHeldUp(): void
  /** @param error that of the body, or BAD_FRAMING when it has another length than declared */
  onUploadFailed(error: ProxyError): void
}

export class BodyUpload implements BodySink {
  readonly #socket: Socket
  readonly #body: BodySource
  /** As the head declares it; undefined: in chunks. */
  readonly #contentLength: number | undefined
  readonly #events: UploadEvents
  #bytes = 0
  #isHeldUp = false

  constructor(socket: Socket, body: BodySource, contentLength: number | undefined, events: UploadEvents) {
    this.#socket = socket
    this.#body = body
    this.#contentLength = contentLength
    this.#events = events
  }

  /** The upstream has to read on before more is sent. */
  get isHeldUp(): boolean {
    return this.#isHeldUp
  }

  /** @param head goes first, with as much of the body as is there already */
  start(head: string): void {
    this.#socket.cork()
    setImmediate(uncork, this.#socket)
    this.#socket.write(head, 'latin1')
    this.#body.flowTo(this)
  }

  /** The upstream reads on. */
  resume(): void {
    this.#isHeldUp = false
    this.#body.resume()
  }

  /** The rest is not wanted. Idempotent. */
  destroy(): void {
    this.#body.stop()
  }

  onBody(bytes: Buffer, from: number, to: number): boolean {
    this.#bytes += to - from
    // One byte too many would be the beginning of another request.
    if (this.#contentLength !== undefined && this.#bytes > this.#contentLength) {
      this.#fail()
      return true
    }
    const content = from === 0 && to === bytes.length ? bytes : bytes.subarray(from, to)
    const mayContinue =
      this.#contentLength === undefined ? this.#writeChunk(content) : this.#socket.write(content)
    if (mayContinue) return true
    this.#isHeldUp = true
    this.#events.onHeldUp()
    return false
  }

  onBodyEnd(): void {
    if (this.#contentLength === undefined) this.#socket.write('0\r\n\r\n', 'latin1')
    if (this.#contentLength === undefined || this.#bytes === this.#contentLength) this.#events.onUploaded()
    else this.#fail()
  }

  onBodyGone(error: ProxyError): void {
    this.#events.onUploadFailed(error)
  }

  #writeChunk(content: Buffer): boolean {
    const socket = this.#socket
    // It would be the last one.
    if (content.length === 0) return true
    socket.cork()
    socket.write(`${content.length.toString(16)}\r\n`, 'latin1')
    socket.write(content)
    const mayContinue = socket.write('\r\n', 'latin1')
    socket.uncork()
    return mayContinue
  }

  /** The client's parser has refused it by now. */
  #fail(): void {
    this.#body.stop()
    this.#events.onUploadFailed(new ProxyError('BAD_FRAMING', 'a body of another length than declared'))
  }
}

function uncork(socket: Socket): void {
  socket.uncork()
}
