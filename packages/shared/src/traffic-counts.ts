// The counts of a worker since its last heartbeat, and how the supervisor sums them. They are arrays of numbers, so that
// counting costs a request almost nothing. Pure.

export const PROTOCOLS = ['http/1.0', 'http/1.1', 'h2', 'other'] as const
/** By the first digit of the status. */
export const STATUS_CLASSES = ['other', '1xx', '2xx', '3xx', '4xx', '5xx'] as const
/** Upper bounds of the histogram of durations. Longer requests are counted after the last bound. */
export const DURATION_BOUNDS_MS = [
  1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 60_000,
] as const

/** Counts of one site, which is its host as configured; '' for requests that matched no site. */
export interface SiteCounts {
  readonly site: string
  /** Index: protocol index * STATUS_CLASSES.length + status class. */
  readonly requests: number[]
  /** One count per bound of DURATION_BOUNDS_MS, not cumulative, and one for longer requests. */
  readonly durations: number[]
  durationSumMs: number
  /** Bytes of response bodies. */
  responseBytes: number
}

export type CountedEvent =
  | 'tls_handshake'
  | 'tls_rejected'
  | 'tls_failed'
  | 'connection_refused'
  | 'client_error'
  | 'http2_flood'
  | 'rate_limited'
  | 'auth_failed'
  | 'upstream_error'
  | 'upstream_retry'

export interface EventCount {
  readonly event: CountedEvent
  /** The cause or kind, such as `timeout`; '' if the event has only one. */
  readonly detail: string
  count: number
}

export interface TrafficCounts {
  readonly sites: readonly SiteCounts[]
  readonly events: readonly EventCount[]
}

export function emptySiteCounts(site: string): SiteCounts {
  return {
    site,
    requests: zeros(PROTOCOLS.length * STATUS_CLASSES.length),
    durations: zeros(DURATION_BOUNDS_MS.length + 1),
    durationSumMs: 0,
    responseBytes: 0,
  }
}

export function addSiteCounts(
  sum: SiteCounts,
  { requests, durations, durationSumMs, responseBytes }: SiteCounts,
): void {
  addInto(sum.requests, requests)
  addInto(sum.durations, durations)
  sum.durationSumMs += durationSumMs
  sum.responseBytes += responseBytes
}

function addInto(sum: number[], more: readonly number[]): void {
  for (const [index, value] of more.entries()) sum[index] = (sum[index] ?? 0) + value
}

function zeros(length: number): number[] {
  return Array.from({ length }, () => 0)
}
