// A request body out of a stream of the runtime. Holds nothing itself.
import type { Readable } from 'node:stream'
import { ProxyError } from '@reverse-proxy/shared/errors'
import type { BodySink, BodySource } from './body.ts'

export class ReadableBody implements BodySource {
  readonly #readable: Readable
  readonly #isComplete: () => boolean
  #sink: BodySink | undefined

  /** @param isComplete at the end of the stream: whether that is the end of the body, not where its client gave up */
  constructor(readable: Readable, isComplete: () => boolean) {
    this.#readable = readable
    this.#isComplete = isComplete
  }

  flowTo(sink: BodySink): void {
    const readable = this.#readable
    this.#sink = sink
    // An empty body of HTTP/2 may end while nobody listens yet; 'end' does not come a second time.
    if (readable.readableEnded) {
      this.#onEnd()
      return
    }
    if (readable.destroyed) {
      this.#onGone()
      return
    }
    readable
      .on('data', this.#onData)
      .on('end', this.#onEnd)
      .on('close', this.#onGone)
      .on('error', this.#onGone)
  }

  resume(): void {
    if (this.#sink !== undefined) this.#readable.resume()
  }

  stop(): void {
    if (this.#sink === undefined) return
    this.#sink = undefined
    this.#readable
      .off('data', this.#onData)
      .off('end', this.#onEnd)
      .off('close', this.#onGone)
      .off('error', this.#onGone)
    this.#readable.pause()
  }

  readonly #onData = (chunk: Buffer): void => {
    if (this.#sink?.onBody(chunk, 0, chunk.length) === false) this.#readable.pause()
  }

  readonly #onEnd = (): void => {
    if (!this.#isComplete()) {
      this.#onGone()
      return
    }
    const sink = this.#sink
    this.stop()
    sink?.onBodyEnd()
  }

  /** Before its end. */
  readonly #onGone = (): void => {
    const sink = this.#sink
    this.stop()
    sink?.onBodyGone(new ProxyError('CLIENT_GONE', 'the client went while it was sending'))
  }
}
