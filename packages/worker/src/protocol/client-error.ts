// Responds to an HTTP/1 client whose bytes are not a request or arrive too slowly.
import type { Log } from '@reverse-proxy/shared/log-fields'
import type { EventCounter } from '../observability/metrics.ts'
import { closeLingering, endLingering } from '../connection/lingering-close.ts'
import type { Http1Connection } from '../connection/client-connection.ts'
import { rawErrorResponse } from './error-response.ts'

const ENDED_WITHIN_REQUEST = 'HPE_INVALID_EOF_STATE'
const HEAD_TIMED_OUT = 'ERR_HTTP_REQUEST_TIMEOUT'

interface ClientErrorDeps {
  readonly log: Log
  readonly metrics: EventCounter
  /** Time limit for a request head (ms). */
  readonly headTimeoutMs: number
}

/** For the runtime's 'clientError'. May come again for what is read after it. */
export function sendClientError(error: Error, connection: Http1Connection, deps: ClientErrorDeps): void {
  const { socket, client } = connection
  const isOwed = connection.hasOpenExchange
  if (socket.destroyed || connection.isUnreadable || (connection.isClosing && !isOwed)) return
  const code = 'code' in error ? String(error.code) : error.message
  if (code === ENDED_WITHIN_REQUEST) {
    // No client waits for a response.
    socket.destroy()
    return
  }
  const isLate = code === HEAD_TIMED_OUT
  if (isLate && connection.excusesHead(deps.headTimeoutMs, () => sendClientError(error, connection, deps)))
    return
  // Browsers open connections ahead of need: a response to nothing could be taken for that to a first request.
  if (isLate && socket.bytesRead === 0) {
    closeLingering(socket)
    return
  }
  const status = statusOf(code)
  deps.metrics.count('client_error', code)
  deps.log.info('CLIENT_ERROR', { client_ip: client.ip, status, error: code })
  connection.unreadable()
  if (isOwed) return
  if (socket.writable) endLingering(socket, rawErrorResponse(status))
  else socket.destroy()
}

function statusOf(code: string): number {
  switch (code) {
    case 'HPE_HEADER_OVERFLOW':
      return 431
    case HEAD_TIMED_OUT:
      return 408
    default:
      return 400
  }
}
