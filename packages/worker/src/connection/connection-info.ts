// Keeps what is known of a connection for the HTTP layer, which sees only the TLSSocket that Node makes around the
// accepted socket. Owns that association and nothing else.
import { Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import type { SiteContext } from '../tls/contexts.ts'

export interface Peeked {
  /** The name the client sent, lower case. Node's own `servername` is false on a resumed TLS 1.2 connection. */
  readonly serverName: string
  /** The certificate that this connection is served with, also after newer ones have been installed. */
  readonly context: SiteContext
  /** As it was accepted, below TLS: ending this ends the connection even if nothing can be written any more. */
  readonly socket: Socket
  /** Remembered at accept: a socket that is gone has no remote address any more. */
  readonly clientIp: string
  /** Monotonic. */
  readonly acceptedMs: number
}

const peekedByRawSocket = new WeakMap<Socket, Peeked>()

/** To be called before the raw socket is handed to a TLS server. */
export function rememberPeeked(raw: Socket, peeked: Peeked): void {
  peekedByRawSocket.set(raw, peeked)
}

/**
 * Works from inside SNICallback until long after the socket has closed.
 * @throws TypeError if the socket under `socket` did not come through the TLS front.
 */
export function peekedOf(socket: TLSSocket): Peeked {
  // Node tells nobody which TLSSocket it wraps around the socket of a 'connection' event, except by this
  // field, which net.Socket itself follows to the timers of the sockets below. Looking the connection up
  // by remote address and port instead would fail as soon as the socket is gone.
  const raw: unknown = Reflect.get(socket, '_parent')
  const peeked = raw instanceof Socket ? peekedByRawSocket.get(raw) : undefined
  if (peeked === undefined) throw new TypeError('a TLS socket that the TLS front never saw')
  return peeked
}
