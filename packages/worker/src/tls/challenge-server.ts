// Answers tls-alpn-01 validations (RFC 8737): completes one handshake with the challenge certificate, then closes.
// The caller has checked that the ClientHello offers only `acme-tls/1`.
import type { Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import type { Log } from '@reverse-proxy/shared/log-fields'
import type { EventCounter } from '../observability/metrics.ts'
import type { ConnectionInfo } from '../connection/connection-info.ts'
import { destroyAfter } from '../connection/lingering-close.ts'
import { protocolList, startHandshake } from '../node/tls-server.ts'

export const ACME_TLS_PROTOCOL = 'acme-tls/1'

const PROTOCOLS = protocolList([ACME_TLS_PROTOCOL])

export class ChallengeServer {
  readonly #log: Log
  readonly #metrics: EventCounter

  constructor(log: Log, metrics: EventCounter) {
    this.#log = log
    this.#metrics = metrics
  }

  /**
   * @param socket its ClientHello has been put back
   * @param timeoutMs until the connection is cut
   */
  answer(socket: Socket, { context, clientIp, serverName }: ConnectionInfo, timeoutMs: number): void {
    destroyAfter(socket, timeoutMs)
    startHandshake(
      socket,
      { context: context.secureContext, protocols: PROTOCOLS },
      {
        onSecure: closeUnused,
        onFailed: ({ message }) => {
          this.#metrics.count('tls_failed', message)
          this.#log.warn('TLS_FAILED', { client_ip: clientIp, server_name: serverName, error: message })
        },
      },
    )
  }
}

/** RFC 8737 3: no data is exchanged after the handshake. */
function closeUnused(socket: TLSSocket): void {
  socket.end()
  socket.resume()
}
