// The end of a connection that has got all it will get.
import type { Socket } from 'node:net'

/** How long a client has to read its last bytes and go. */
const FAREWELL_MS = 1000

/**
 * Sends `lastBytes` and closes. What the client still sends is read and dropped meanwhile: closing
 * over unread data would reset the connection, and the reset could overtake `lastBytes`.
 */
export function sayFarewell(socket: Socket, lastBytes: Uint8Array): void {
  socket.end(lastBytes)
  socket.resume()
  destroyAfter(socket, FAREWELL_MS)
}

/** A limit that no amount of activity on the socket moves. */
export function destroyAfter(socket: Socket, timeoutMs: number): void {
  const timer = setTimeout(() => socket.destroy(), timeoutMs)
  socket.once('close', () => clearTimeout(timer))
}
