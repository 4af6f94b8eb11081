// A request body on its way to the upstream: counted while it streams, and given up when it stalls.
// Holds nothing itself, and never takes the client's connection down with it: what becomes of that is the
// exchange's decision.
import type { Readable } from 'node:stream'
import { ProxyError } from '@reverse-proxy/shared/errors'

export interface BodyLimits {
  readonly limitBytes: number
  /**
   * The longest time without a byte from the client while the upstream wants more, nor one of the response to it;
   * up to twice as long when the response was the last to move.
   */
  readonly stallTimeoutMs: number
}

/** Where a body goes. After `onBodyEnd` or `onBodyError` nothing more comes. */
export interface BodySink {
  onBodyData(chunk: Buffer): void
  onBodyEnd(): void
  /** @param error BODY_TOO_LARGE, BODY_STALLED or CLIENT_GONE */
  onBodyError(error: ProxyError): void
}

/** @throws ProxyError BODY_TOO_LARGE for a declared length beyond the limit */
export function checkDeclaredLength(bytes: number, limitBytes: number): void {
  if (bytes > limitBytes) throw new ProxyError('BODY_TOO_LARGE', 'declared length beyond the limit')
}

/** The exchange as its body sees it. */
interface BodyOwner {
  /** Read by nobody else, and by nobody at all before `sendTo`. */
  readonly body: Readable
  /** It has been read to its end, and that is not just where its client gave up. */
  readonly isRequestComplete: boolean
  /** Bytes of the response body sent so far. */
  readonly bytesSent: number
  /** Bytes of the request body received so far. */
  bytesReceived: number
}

export class RequestBody {
  readonly #owner: BodyOwner
  readonly #source: Readable
  readonly #limits: BodyLimits
  #sink: BodySink | undefined
  /** Response bytes at the time when the body last moved or was found silent. */
  #bytesSent = 0
  #stall: NodeJS.Timeout | undefined

  constructor(owner: BodyOwner, limits: BodyLimits) {
    this.#owner = owner
    this.#source = owner.body
    this.#limits = limits
  }

  /** Once. */
  sendTo(sink: BodySink): void {
    const source = this.#source
    this.#sink = sink
    // An empty body of HTTP/2 may end while nobody listens yet; 'end' does not come a second time.
    if (source.readableEnded) {
      this.#onEnd()
      return
    }
    if (source.destroyed) {
      this.#fail(gone())
      return
    }
    source
      .on('data', this.#onData)
      .on('end', this.#onEnd)
      .on('close', this.#onClose)
      .on('error', this.#onClose)
    this.#awaitClient()
  }

  /** The upstream takes no more for now: it is not the client that is slow. */
  pause(): void {
    this.#stopStall()
    this.#source.pause()
  }

  resume(): void {
    if (this.#sink === undefined) return
    this.#awaitClient()
    this.#source.resume()
  }

  /** The rest is not wanted. Idempotent. */
  destroy(): void {
    if (this.#sink === undefined) return
    this.#sink = undefined
    this.#stopStall()
    this.#source
      .off('data', this.#onData)
      .off('end', this.#onEnd)
      .off('close', this.#onClose)
      .off('error', this.#onClose)
    this.#source.pause()
  }

  #awaitClient(): void {
    this.#stall ??= setTimeout(() => this.#onSilence(), this.#limits.stallTimeoutMs)
    this.#stall.refresh()
  }

  /** An exchange whose response goes on is not idle. */
  #onSilence(): void {
    const { bytesSent } = this.#owner
    if (bytesSent === this.#bytesSent) {
      this.#fail(new ProxyError('BODY_STALLED', 'the request body stalled'))
      return
    }
    this.#bytesSent = bytesSent
    this.#stall?.refresh()
  }

  #stopStall(): void {
    clearTimeout(this.#stall)
    this.#stall = undefined
  }

  #fail(error: ProxyError): void {
    const sink = this.#sink
    this.destroy()
    sink?.onBodyError(error)
  }

  readonly #onData = (chunk: Buffer): void => {
    this.#owner.bytesReceived += chunk.length
    if (this.#owner.bytesReceived > this.#limits.limitBytes) {
      this.#fail(new ProxyError('BODY_TOO_LARGE', 'body beyond the limit'))
      return
    }
    this.#stall?.refresh()
    this.#bytesSent = this.#owner.bytesSent
    this.#sink?.onBodyData(chunk)
  }

  readonly #onEnd = (): void => {
    if (!this.#owner.isRequestComplete) {
      this.#fail(gone())
      return
    }
    const sink = this.#sink
    this.destroy()
    sink?.onBodyEnd()
  }

  /** Before its end. */
  readonly #onClose = (): void => {
    this.#fail(gone())
  }
}

function gone(): ProxyError {
  return new ProxyError('CLIENT_GONE', 'the client went while it was sending')
}
