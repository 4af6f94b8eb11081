// A request body on its way to the upstream. Counts it against the limit while it streams, and gives up when it stalls.
// Buffers nothing, and never closes the client's connection: that is the decision of the exchange.
import { ProxyError } from '@reverse-proxy/shared/errors'
import type { BodySink, BodySource } from './body.ts'

export interface BodyLimits {
  readonly limitBytes: number
  /**
   * The longest time without a byte from the client and without a byte of the response to it, while the upstream wants
   * more. Up to twice as long if the last byte was one of the response.
   */
  readonly stallTimeoutMs: number
}

/** @throws ProxyError BODY_TOO_LARGE for a declared length beyond the limit */
export function checkDeclaredLength(bytes: number, limitBytes: number): void {
  if (bytes > limitBytes) throw new ProxyError('BODY_TOO_LARGE', 'declared length beyond the limit')
}

/** The exchange as its body sees it. */
interface BodyOwner {
  /** Has no other sink; is not read before `flowTo`. */
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
  /** Bytes of the response when the last byte of the body arrived, or when the last check found none. */
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
      // The upstream takes no more at the moment; the client is not the slow one.
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

  /** An exchange whose response makes progress is not idle. */
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
