// A request as an upstream connection sends it, and the interface through which its sender receives the response.
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
  /** The connection takes no request after it, whatever the upstream says. */
  readonly isLast: boolean
  /**
   * The time for the whole head of the response after the request has been sent. Then, again and again, the time until
   * more of the body arrives, or until the upstream reads more. Does not run while we wait for the client.
   */
  readonly timeoutMs: number
}

/** The sender of a request. `onResponseEnd` or `onResponseError` is called once, unless the connection is destroyed. */
export interface ResponseReceiver {
  /** Called for interim responses (1xx) too. An error that it throws counts as a failure of the upstream. */
  onResponseHead(head: ParsedResponseHead): void
  /**
   * @param chunk the next read overwrites it
   * @param isLast the body ends with it
   * @returns false: send no more until `resume`
   */
  onResponseData(chunk: Buffer, isLast: boolean): boolean
  /** @param trailers name, value, name, value ...; names in lower case */
  onResponseEnd(trailers: readonly string[]): void
  /**
   * @param hadBegun a byte of the response has arrived
   * @param isUnsent nothing of the request has been written on this connection, which had served others
   */
  onResponseError(error: unknown, hadBegun: boolean, isUnsent: boolean): void
}
