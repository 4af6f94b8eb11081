// The body of one request over HTTP/1 as its sink sees it. The connection reads it, and pauses while the sink takes no
// more.
import { ProxyError } from '@reverse-proxy/shared/errors'
import type { BodySink, BodySource } from '../body.ts'

/** Continues to read where it has stopped. */
interface BodyReader {
  readOn(): void
}

export class IncomingBody implements BodySource {
  readonly #reader: BodyReader
  #sink: BodySink | undefined
  #isHeld = false

  constructor(reader: BodyReader) {
    this.#reader = reader
  }

  /** The sink takes bytes at the moment. */
  get isFlowing(): boolean {
    return this.#sink !== undefined && !this.#isHeld
  }

  /** It has a sink. */
  get hasSink(): boolean {
    return this.#sink !== undefined
  }

  flowTo(sink: BodySink): void {
    this.#sink = sink
    this.#reader.readOn()
  }

  resume(): void {
    this.#isHeld = false
    if (this.#sink !== undefined) this.#reader.readOn()
  }

  stop(): void {
    this.#sink = undefined
  }

  // For the connection.

  deliver(bytes: Buffer, from: number, to: number): void {
    if (this.#sink?.onBody(bytes, from, to) === false) this.#isHeld = true
  }

  end(): void {
    const sink = this.#sink
    this.#sink = undefined
    sink?.onBodyEnd()
  }

  gone(): void {
    const sink = this.#sink
    this.#sink = undefined
    sink?.onBodyGone(new ProxyError('CLIENT_GONE', 'the client went while it was sending'))
  }
}
