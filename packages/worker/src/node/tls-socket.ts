// Relies on TLSSocket._parent: the socket under a TLSSocket that the runtime's server has made.
import { Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'

/**
 * The accepted socket under `socket`; undefined if the runtime has not kept it.
 *
 * The runtime names the socket of a 'connection' event only by this field, which net.Socket itself uses to refresh the
 * timers of the sockets below. Rejected: a look-up by remote address and port, which fails once the socket is gone.
 */
export function acceptedSocketOf(socket: TLSSocket): Socket | undefined {
  const raw: unknown = Reflect.get(socket, '_parent')
  return raw instanceof Socket ? raw : undefined
}
