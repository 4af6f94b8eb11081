// The records of finished requests and upstream failures. The pipeline fills them in; access-log.ts writes them.
import type { Protocol } from '../message/request-parser.ts'

export interface RequestEntry {
  /** Host of the site that served the request, as configured; undefined if none did. */
  readonly site?: string | undefined
  readonly clientIp: string
  /** Lower case, without port; undefined if the request had no valid one. */
  readonly host: string | undefined
  readonly method: string
  /** Path and query as the client sent them. */
  readonly path: string
  /** Status of the response; STATUS_CLIENT_GONE if the client disconnected before it began. */
  readonly status: number
  /** `host:port`; undefined if the request was not forwarded. */
  readonly upstream: string | undefined
  readonly durationMs: number
  /** Bytes of the response body written to the client's connection; for a tunnel, all bytes written to it. */
  readonly bytes: number
  readonly proto: Protocol
  /** As the upstream has it in X-Request-Id. */
  readonly requestId: string
}

export interface UpstreamErrorEntry {
  readonly host: string
  readonly upstream: string
  /** One of a few stable texts: `connection refused`, `timeout`, `truncated`, ... */
  readonly error: string
  /** The beginning of the bytes that caused `error`, escaped. */
  readonly excerpt?: string | undefined
}

export interface AccessLog {
  request(entry: RequestEntry): void
  upstreamError(entry: UpstreamErrorEntry): void
  /** A kept-alive connection to `upstream` (`host:port`) had been closed, so the request is sent again. */
  upstreamRetried(upstream: string): void
}

/** The client disconnected before a response began; nginx logs the same number for it. */
export const STATUS_CLIENT_GONE = 499
