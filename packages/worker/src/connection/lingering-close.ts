// Closes a connection whose client may still be sending. Closing with unread bytes resets the connection, and the reset
// can destroy a response that the client has not read yet (RFC 9112 9.6). So we close our side first, and then read and
// drop what still arrives.
import type { Socket } from 'node:net'

/** How long bytes are read and dropped after our side has been closed. */
export const LINGER_MS = 30_000
/** The longest silence within that time. Before that, the longest time in which the client reads nothing. */
const LINGER_SILENCE_MS = 5_000

const closing = new WeakSet<Socket>()

/** Sends `lastBytes` after what has been written, and closes as `closeLingering` does. */
export function endLingering(socket: Socket, lastBytes: Uint8Array): void {
  socket.write(lastBytes)
  closeLingering(socket)
}

/**
 * Sends what has been written and closes our side. The connection ends with the client's side, after
 * LINGER_SILENCE_MS without a byte in either direction, or LINGER_MS after the last byte has been sent.
 * Idempotent.
 */
export function closeLingering(socket: Socket): void {
  if (socket.destroyed || closing.has(socket)) return
  closing.add(socket)
  socket.end()
  socket.resume()
  socket.once('end', () => destroyWhenSent(socket))
  socket.setTimeout(LINGER_SILENCE_MS, () => socket.destroy())
  if (socket.writableFinished) destroyAfter(socket, LINGER_MS)
  else socket.once('finish', () => destroyAfter(socket, LINGER_MS))
}

/** Destroys `socket` after `timeoutMs`, whatever is sent or received meanwhile. */
export function destroyAfter(socket: Socket, timeoutMs: number): void {
  const timer = setTimeout(() => socket.destroy(), timeoutMs)
  socket.once('close', () => clearTimeout(timer))
}

/** Call when nothing more is expected from the client. */
export function destroyWhenSent(socket: Socket): void {
  if (socket.writableFinished) socket.destroy()
  else socket.once('finish', () => socket.destroy())
}
