// The body of one request over HTTP/1 as its sink sees it. The connection reads it, and stops when nobody takes it.
import { ProxyError } from '@reverse-proxy/shared/errors'
import type { BodySink, BodySource } from '../body.ts'

/** Reads on where it has stopped. */
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

  /** Somebody takes what comes now. */
  get isFlowing(): boolean {
    return this.#sink !== undefined && !this.#isHeld
  }

  /** Somebody wants to have it. */
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
