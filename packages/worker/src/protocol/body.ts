// The body of a request on its way from its protocol to whoever takes it: no stream in between, one sink, and a
// plain rule about who owns which bytes.
import type { ProxyError } from '@reverse-proxy/shared/errors'

/** Takes a body as it comes. After `onBodyEnd` or `onBodyGone` nothing more comes. */
export interface BodySink {
  /**
   * Content, without its framing: `bytes` from `from` to `to`, at least one byte. Nobody writes to that memory again, so
   * it may be passed to a socket as it is. It may be part of a larger read: what is kept for longer should be copied.
   * @returns false: no more until `resume` of the source
   */
  onBody(bytes: Buffer, from: number, to: number): boolean
  onBodyEnd(): void
  /** @param error CLIENT_GONE or a limit (BODY_TOO_LARGE, BODY_STALLED): there is no end to come */
  onBodyGone(error: ProxyError): void
}

/** The body of one request, read by one sink. */
export interface BodySource {
  /** Once. May call the sink before it returns. */
  flowTo(sink: BodySink): void
  /** After `onBody` returned false: the sink takes more. */
  resume(): void
  /** The sink wants no more and hears nothing more. What becomes of the rest is its exchange's decision. Idempotent. */
  stop(): void
}
