// Writes a request body to the socket of an upstream, framed as the head declares (RFC 9112 6 and 7), and no faster than
// the upstream reads.
import type { Socket } from 'node:net'
import { ProxyError } from '@reverse-proxy/shared/errors'
import { OutBuffer } from '../../io/out-buffer.ts'
import type { BodySink, BodySource } from '../../protocol/body.ts'

export interface UploadEvents {
  onUploaded(): void
  /** The upstream does not read at the moment. */
  onHeldUp(): void
  /** @param error the body's own, or BAD_FRAMING if its length is not the declared one */
  onUploadFailed(error: ProxyError): void
}

export class BodyUpload implements BodySink {
  readonly #out: OutBuffer
  readonly #body: BodySource
  /** As the head declares it; undefined: in chunks. */
  readonly #contentLength: number | undefined
  readonly #events: UploadEvents
  #bytes = 0
  #isHeldUp = false

  constructor(socket: Socket, body: BodySource, contentLength: number | undefined, events: UploadEvents) {
    this.#out = new OutBuffer(socket)
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
    this.#out.text(head)
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
    const length = to - from
    this.#bytes += length
    // A byte beyond the length would be the start of another request.
    if (this.#contentLength !== undefined && this.#bytes > this.#contentLength) {
      this.#fail()
      return true
    }
    const out = this.#out
    if (this.#contentLength === undefined) out.text(`${length.toString(16)}\r\n`)
    out.bytes(bytes, from, to)
    if (this.#contentLength === undefined) out.text('\r\n')
    if (!out.isBlocked) return true
    this.#isHeldUp = true
    this.#events.onHeldUp()
    return false
  }

  onBodyEnd(): void {
    if (this.#contentLength === undefined) this.#out.text('0\r\n\r\n')
    // Now: the next request of this connection is not written through this buffer.
    this.#out.flush()
    if (this.#contentLength === undefined || this.#bytes === this.#contentLength) this.#events.onUploaded()
    else this.#fail()
  }

  onBodyGone(error: ProxyError): void {
    this.#events.onUploadFailed(error)
  }

  /** A safeguard: the parser for clients has rejected such a body before. */
  #fail(): void {
    this.#body.stop()
    this.#events.onUploadFailed(new ProxyError('BAD_FRAMING', 'a body of another length than declared'))
  }
}
