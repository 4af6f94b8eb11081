// Writes a request body to the socket of an upstream, framed as the head declares (RFC 9112 6 and 7), and no faster than
// the upstream reads.
import type { Socket } from 'node:net'
import { ProxyError } from '@reverse-proxy/shared/errors'
import type { BodySink, BodySource } from '../../protocol/body.ts'

export interface UploadEvents {
  onUploaded(): void
  /** The upstream does not read at the moment. */
  onHeldUp(): void
  /** @param error the body's own, or BAD_FRAMING if its length is not the declared one */
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

  /** The upstream has to read before more is sent. */
  get isHeldUp(): boolean {
    return this.#isHeldUp
  }

  /** @param head is written first, together with the part of the body that has arrived */
  start(head: string): void {
    this.#socket.cork()
    setImmediate(uncork, this.#socket)
    this.#socket.write(head, 'latin1')
    this.#body.flowTo(this)
  }

  /** The upstream reads again. */
  resume(): void {
    this.#isHeldUp = false
    this.#body.resume()
  }

  /** Drops the rest. Idempotent. */
  destroy(): void {
    this.#body.stop()
  }

  onBody(bytes: Buffer, from: number, to: number): boolean {
    this.#bytes += to - from
    // A byte beyond the length would be the start of another request.
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
    // A chunk without bytes would be the last chunk.
    if (content.length === 0) return true
    socket.cork()
    socket.write(`${content.length.toString(16)}\r\n`, 'latin1')
    socket.write(content)
    const mayContinue = socket.write('\r\n', 'latin1')
    socket.uncork()
    return mayContinue
  }

  /** A safeguard: the parser for clients has rejected such a body before. */
  #fail(): void {
    this.#body.stop()
    this.#events.onUploadFailed(new ProxyError('BAD_FRAMING', 'a body of another length than declared'))
  }
}

function uncork(socket: Socket): void {
  socket.uncork()
}
