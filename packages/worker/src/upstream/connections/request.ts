// A request as an upstream connection sends it, and what its sender hears of the response.
import type { BodySource } from '../../protocol/body.ts'
import type { ParsedResponseHead } from '../http1/response-head.ts'

export interface UpstreamRequest {
  readonly method: string
  /** The whole head with its empty line, a character for each byte. */
  readonly head: string
  readonly body: BodySource | null
  /** Length of the body as the head declares it; undefined if it is sent in chunks. */
  readonly contentLength: number | undefined
  /** It may be sent again although the upstream may have read it. */
  readonly isRepeatable: boolean
  /** After it the connection is of no more use to others, whatever the upstream says. */
  readonly isLast: boolean
  /**
   * For the whole head of the response once the request has been sent; then for more of its body, and for the upstream
   * to read on, each time anew. Never runs while the client is waited for.
   */
  readonly timeoutMs: number
}

/** The sender of a request. Exactly one of `onResponseEnd` and `onResponseError` is called, unless it is `destroy`ed. */
export interface ResponseReceiver {
  /** Interim responses (1xx) too. What it throws ends the exchange, as if the upstream had failed. */
  onResponseHead(head: ParsedResponseHead): void
  /**
   * @param chunk to be copied: it is overwritten with the next read
   * @param isLast it ends the body
   * @returns false: no more until `resume`
   */
  onResponseData(chunk: Buffer, isLast: boolean): boolean
  /** @param trailers name, value, name, value ...; names in lower case */
  onResponseEnd(trailers: readonly string[]): void
  /**
   * @param hadBegun a byte of the response has come
   * @param isUnsent nothing of the request has been written on this connection, which had served others
   */
  onResponseError(error: unknown, hadBegun: boolean, isUnsent: boolean): void
}
