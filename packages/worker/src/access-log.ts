// The lines of SPEC 9 that tell of requests: one for each when it is over, one for each failed upstream.
import type { Log } from '@reverse-proxy/shared/log-fields'
import type { AccessLog } from './http/access-log-entry.ts'

export interface CountingAccessLog extends AccessLog {
  /** Answered so far. */
  readonly requests: number
}

export function createAccessLog(log: Log, workerNumber: number): CountingAccessLog {
  let requests = 0
  return {
    get requests() {
      return requests
    },
    request: (entry) => {
      requests++
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
        worker: workerNumber,
      })
    },
    upstreamError: ({ host, upstream, error }) => log.warn('UPSTREAM_ERROR', { host, upstream, error }),
  }
}
