// A request body on its way to the upstream: counted while it streams, and given up when it stalls.
// Holds nothing itself, and never takes the client's connection down with it: what becomes of that is the
// exchange's decision.
import { ProxyError } from '@reverse-proxy/shared/errors'
import type { BodySink, BodySource } from './body.ts'

export interface BodyLimits {
  readonly limitBytes: number
  /**
   * The longest time without a byte from the client while the upstream wants more, nor one of the response to it;
   * up to twice as long when the response was the last to move.
   */
  readonly stallTimeoutMs: number
}

/** @throws ProxyError BODY_TOO_LARGE for a declared length beyond the limit */
export function checkDeclaredLength(bytes: number, limitBytes: number): void {
  if (bytes > limitBytes) throw new ProxyError('BODY_TOO_LARGE', 'declared length beyond the limit')
}

/** The exchange as its body sees it. */
interface BodyOwner {
  /** Read by nobody else, and by nobody at all before `flowTo`. */
  readonly body: BodySource
  /** Bytes of the response body sent so far. */
  readonly bytesSent: number
  /** Bytes of the request body received so far. */
  bytesReceived: number
}

export class RequestBody implements BodySource, BodySink {
  readonly #owner: BodyOwner
  readonly #source: BodySource
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

  flowTo(sink: BodySink): void {
    this.#sink = sink
    this.#awaitClient()
    this.#source.flowTo(this)
  }

  resume(): void {
    if (this.#sink === undefined) return
    this.#awaitClient()
    this.#source.resume()
  }

  stop(): void {
    if (this.#sink === undefined) return
    this.#sink = undefined
    this.#stopStall()
    this.#source.stop()
  }

  // BodySink

  onBody(bytes: Buffer, from: number, to: number): boolean {
    this.#owner.bytesReceived += to - from
    if (this.#owner.bytesReceived > this.#limits.limitBytes) {
      this.#fail(new ProxyError('BODY_TOO_LARGE', 'body beyond the limit'))
      return true
    }
    this.#bytesSent = this.#owner.bytesSent
    if (this.#sink?.onBody(bytes, from, to) === false) {
      // The upstream takes no more for now: it is not the client that is slow.
      this.#stopStall()
      return false
    }
    this.#stall?.refresh()
    return true
  }

  onBodyEnd(): void {
    const sink = this.#sink
    this.stop()
    sink?.onBodyEnd()
  }

  onBodyGone(error: ProxyError): void {
    this.#fail(error)
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
    this.stop()
    sink?.onBodyGone(error)
  }
}
