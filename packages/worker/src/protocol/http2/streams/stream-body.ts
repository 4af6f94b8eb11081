// The body of a request on one stream: passed to its sink as it arrives, or kept while the sink takes no more. The
// window of the stream bounds its memory, because the client may send more only when the sink has taken something.
//
// Ownership: bytes that pass straight through are the sink's during the call, as body.ts says. Kept bytes are copied.
import { ProxyError } from '@reverse-proxy/shared/errors'
import type { BodySink, BodySource } from '../../body.ts'

export interface BodyCredit {
  /** The sink has taken so many bytes: the client may send as many more. */
  onTaken(bytes: number): void
  /** So many bytes will never be taken; only the window of the connection gets them back. */
  onDropped(bytes: number): void
}

/** Small pieces share a buffer of this size: each alone would cost more memory than it holds. */
const PIECE_BYTES = 16_384

export class StreamBody implements BodySource {
  readonly #credit: BodyCredit
  #sink: BodySink | undefined
  #isFlowing = false
  #isStopped = false
  #isEnded = false
  #isGone = false
  /** Kept pieces; the last one may have room left. */
  #kept: Buffer[] = []
  #lastLength = 0
  /** Bytes that the sink got when it said that it takes no more; they count as taken once it resumes. */
  #untaken = 0

  constructor(credit: BodyCredit) {
    this.#credit = credit
  }

  flowTo(sink: BodySink): void {
    this.#sink = sink
    this.#isFlowing = true
    this.#flow()
  }

  resume(): void {
    if (this.#isFlowing || this.#sink === undefined) return
    const taken = this.#untaken
    this.#untaken = 0
    this.#isFlowing = true
    if (taken > 0) this.#credit.onTaken(taken)
    this.#flow()
  }

  stop(): void {
    if (this.#isStopped) return
    this.#isStopped = true
    this.#sink = undefined
    this.#drop()
  }

  /** Content has arrived. */
  receive(bytes: Buffer, from: number, to: number): void {
    if (this.#isStopped) this.#credit.onDropped(to - from)
    else if (this.#isFlowing) this.#give(bytes, from, to)
    else this.#keep(bytes, from, to)
  }

  /** The client has sent all of it. */
  end(): void {
    this.#isEnded = true
    if (this.#isFlowing) this.#flow()
  }

  /** The stream is closed. If the body was not complete, its sink is told. */
  close(): void {
    this.#isGone = true
    const sink = this.#sink
    const isComplete = this.#isEnded && this.#kept.length === 0
    this.stop()
    if (!isComplete) sink?.onBodyGone(new ProxyError('CLIENT_GONE', 'the client went while it was sending'))
  }

  #flow(): void {
    while (this.#isFlowing && this.#kept.length > 0) {
      const piece = this.#kept.shift()!
      this.#give(piece, 0, this.#kept.length === 0 ? this.#lastLength : piece.length)
    }
    if (!this.#isFlowing) return
    const sink = this.#sink
    if (this.#isEnded) {
      this.#isStopped = true
      this.#sink = undefined
      sink?.onBodyEnd()
    } else if (this.#isGone) {
      this.#sink = undefined
      sink?.onBodyGone(new ProxyError('CLIENT_GONE', 'the client went while it was sending'))
    }
  }

  #give(bytes: Buffer, from: number, to: number): void {
    if (this.#sink?.onBody(bytes, from, to) !== false) {
      this.#credit.onTaken(to - from)
      return
    }
    this.#isFlowing = false
    // The sink may have stopped the body within the call.
    if (this.#isStopped) this.#credit.onDropped(to - from)
    else this.#untaken += to - from
  }

  #keep(bytes: Buffer, from: number, to: number): void {
    let at = from
    while (at < to) {
      const last = this.#kept.at(-1)
      if (last === undefined || this.#lastLength === last.length) {
        const length = Math.max(PIECE_BYTES, to - at)
        this.#kept.push(Buffer.allocUnsafeSlow(length))
        this.#lastLength = 0
        continue
      }
      const copied = bytes.copy(last, this.#lastLength, at, to)
      this.#lastLength += copied
      at += copied
    }
  }

  #drop(): void {
    let bytes = this.#untaken
    for (const [i, piece] of this.#kept.entries())
      bytes += i === this.#kept.length - 1 ? this.#lastLength : piece.length
    this.#untaken = 0
    this.#kept = []
    if (bytes > 0) this.#credit.onDropped(bytes)
  }
}
