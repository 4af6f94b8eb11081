// Writes the log lines about requests: one for each finished request, one for each upstream failure.
import type { Log } from '@reverse-proxy/shared/log-fields'
import type { AccessLog } from './access-log-entry.ts'
import type { TrafficMetrics } from './metrics.ts'

/** @param metrics counts each request */
export function createAccessLog(log: Log, metrics: TrafficMetrics, workerNumber: number): AccessLog {
  return {
    request: (entry) => {
      metrics.countRequest(entry)
      log.info('REQUEST', {
        client_ip: entry.clientIp,
        host: entry.host,
        method: entry.method,
        path: entry.path,
        status: entry.status,
        upstream: entry.upstream,
        duration_ms: entry.durationMs,
        bytes: entry.bytes,
        proto: entry.proto,
        request_id: entry.requestId,
        worker: workerNumber,
      })
    },
    upstreamRetried: (upstream) => {
      metrics.count('upstream_retry')
      log.debug('UPSTREAM_RETRY', { upstream })
    },
    upstreamError: ({ host, upstream, error, excerpt }) => {
      metrics.count('upstream_error', error)
      log.warn('UPSTREAM_ERROR', { host, upstream, error })
      if (excerpt !== undefined) log.debug('UPSTREAM_BYTES', { host, upstream, error, bytes: excerpt })
    },
  }
}
