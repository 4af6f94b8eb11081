// What an HTTP/1 client gets when its bytes are no request, or come too slowly to be one.
import { sayFarewell } from '../tls/farewell.ts'
import type { Http1Connection } from './client-connection.ts'
import { rawErrorAnswer } from './error-response.ts'

/** @returns the status, whether or not it could still be said */
export function answerClientError(error: Error, connection: Http1Connection): number {
  const status = statusOf(error)
  if (connection.unreadable()) return status
  const { socket } = connection
  if (socket.writable) sayFarewell(socket, rawErrorAnswer(status))
  else socket.destroy()
  return status
}

function statusOf(error: Error): number {
  switch ('code' in error ? error.code : undefined) {
    case 'HPE_HEADER_OVERFLOW':
      return 431
    case 'HPE_CHUNK_EXTENSIONS_OVERFLOW':
      return 413
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return 408
    default:
      return 400
  }
}
