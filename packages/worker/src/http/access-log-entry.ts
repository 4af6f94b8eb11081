// What is said about every request when it is over, and about every upstream that failed one.
// access-log.ts writes it; the data plane only fills it in.
import type { Protocol } from './framing.ts'

export interface RequestEntry {
  /** Host of the site that served it, as configured; undefined if none did. */
  readonly site?: string | undefined
  readonly clientIp: string
  /** Lower case, without port; undefined if the request named none that could be understood. */
  readonly host: string | undefined
  readonly method: string
  /** Path and query as the client sent them. */
  readonly path: string
  /** As answered; 499 if the client went before there was an answer. */
  readonly status: number
  /** `host:port`; undefined if the request went nowhere. */
  readonly upstream: string | undefined
  readonly durationMs: number
  /** Of the response body, as handed to the client's connection; of an upgraded connection, all of them. */
  readonly bytes: number
  readonly proto: Protocol
}

export interface UpstreamErrorEntry {
  readonly host: string
  readonly upstream: string
  /** A few stable words: `connection refused`, `timeout`, `truncated`, ... */
  readonly error: string
  /** The beginning of the bytes that broke the rule `error` names, escaped. */
  readonly excerpt?: string | undefined
}

export interface AccessLog {
  request(entry: RequestEntry): void
  upstreamError(entry: UpstreamErrorEntry): void
  /** A kept-alive connection to `upstream` (`host:port`) was gone, and the request is sent again. */
  upstreamRetried(upstream: string): void
}

/** The client closed before it was answered; the number is nginx's and means the same there. */
export const STATUS_CLIENT_GONE = 499
