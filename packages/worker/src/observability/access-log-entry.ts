// The record of every finished request and of every upstream failure. The data plane fills it in, access-log.ts writes
// it.
import type { Protocol } from '../message/request-parser.ts'

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
  /** Bytes of the response body handed to the client's connection; for an upgraded connection all bytes. */
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
