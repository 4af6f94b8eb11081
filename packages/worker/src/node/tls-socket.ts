// Finds the accepted socket under a TLSSocket. Relies on TLSSocket._parent.
import { Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'

/**
 * Returns the socket that the 'connection' event passed; undefined if the runtime has not kept it.
 *
 * Only this field refers to it; net.Socket itself uses the field to refresh timers. Rejected: a look-up by remote address
 * and port, which fails once the socket is closed.
 */
export function acceptedSocketOf(socket: TLSSocket): Socket | undefined {
  const raw: unknown = Reflect.get(socket, '_parent')
  return raw instanceof Socket ? raw : undefined
}
