// Keeps what is known of a connection for the HTTP layer, which sees only the TLSSocket that Node makes around the
// accepted socket. Owns that association and nothing else.
import type { Socket } from 'node:net'
import type { SecureContext, TLSSocket } from 'node:tls'
import { acceptedSocketOf } from '../node/tls-socket.ts'

/** One certificate, ready to serve. A connection keeps the one it began with. */
export interface SiteContext {
  /** Serial number of the leaf, upper-case hex. */
  readonly serial: string
  readonly secureContext: SecureContext
  /** True if a request for `host` (lower case, no port) may be served with this certificate; else 421. */
  covers(host: string): boolean
}

export interface ConnectionInfo {
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

const infoByAcceptedSocket = new WeakMap<Socket, ConnectionInfo>()

/** Call it before the accepted socket is handed to a TLS server. */
export function attachConnectionInfo(raw: Socket, peeked: ConnectionInfo): void {
  infoByAcceptedSocket.set(raw, peeked)
}

/**
 * Works from inside SNICallback on, and after the socket has closed.
 * @throws TypeError if the connection did not come through the acceptor
 */
export function connectionInfoOf(socket: TLSSocket): ConnectionInfo {
  const raw = acceptedSocketOf(socket)
  const peeked = raw && infoByAcceptedSocket.get(raw)
  if (peeked === undefined) throw new TypeError('a TLS socket that the acceptor never saw')
  return peeked
}
