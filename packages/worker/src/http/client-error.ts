// What an HTTP/1 client gets when its bytes are no request, or come too slowly to be one.
import type { Log } from '@reverse-proxy/shared/log-fields'
import type { EventCounter } from '../metrics.ts'
import { closeLingering, sayFarewell } from '../tls/farewell.ts'
import type { Http1Connection } from './client-connection.ts'
import { rawErrorAnswer } from './error-response.ts'

const ENDED_WITHIN_REQUEST = 'HPE_INVALID_EOF_STATE'
const HEAD_TIMED_OUT = 'ERR_HTTP_REQUEST_TIMEOUT'

interface ClientErrorDeps {
  readonly log: Log
  readonly metrics: EventCounter
  /** What a client has for a head. */
  readonly headTimeoutMs: number
}

/** For the runtime's 'clientError'. May come again for what is read after it. */
export function answerClientError(error: Error, connection: Http1Connection, deps: ClientErrorDeps): void {
  const { socket, client } = connection
  const isOwed = connection.hasOpenExchange
  if (socket.destroyed || connection.isUnreadable || (connection.isClosing && !isOwed)) return
  const code = 'code' in error ? String(error.code) : error.message
  if (code === ENDED_WITHIN_REQUEST) {
    // Nobody waits for an answer.
    socket.destroy()
    return
  }
  const isLate = code === HEAD_TIMED_OUT
  if (isLate && connection.excusesHead(deps.headTimeoutMs, () => answerClientError(error, connection, deps)))
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
  if (socket.writable) sayFarewell(socket, rawErrorAnswer(status))
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
