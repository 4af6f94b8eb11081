// The interface between a request body and the sink that takes it. No stream is in between: the source calls the sink,
// and the comments below say who owns which bytes.
import type { ProxyError } from '@reverse-proxy/shared/errors'

/** Receives a body piece by piece. `onBodyEnd` or `onBodyGone` is the last call. */
export interface BodySink {
  /**
   * Content without its framing: `bytes` from `from` to `to`, at least one byte. That memory is the source's again when
   * this returns: copy what you keep.
   * @returns false: send no more until the sink calls `resume` of the source
   */
  onBody(bytes: Buffer, from: number, to: number): boolean
  onBodyEnd(): void
  /** The body ends early. @param error CLIENT_GONE, or a limit: BODY_TOO_LARGE, BODY_STALLED */
  onBodyGone(error: ProxyError): void
}

/** The body of one request, read by one sink. */
export interface BodySource {
  /** Call it once. It may call the sink before it returns. */
  flowTo(sink: BodySink): void
  /** The sink takes more, after `onBody` returned false. */
  resume(): void
  /** Detaches the sink, which is not called again. The exchange decides what happens to the rest. Idempotent. */
  stop(): void
}
