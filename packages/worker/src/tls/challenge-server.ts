// Answers tls-alpn-01 validations (RFC 8737): completes one handshake with the challenge certificate, then closes.
// The caller has checked that the ClientHello offers only `acme-tls/1`.
import type { Socket } from 'node:net'
import { createServer, type Server, type TLSSocket } from 'node:tls'
import type { Log } from '@reverse-proxy/shared/log-fields'
import type { EventCounter } from '../observability/metrics.ts'
import { destroyAfter } from '../connection/lingering-close.ts'
import { connectionInfoOf } from '../connection/connection-info.ts'
import { TLS_OPTIONS } from './policy.ts'

export const ACME_TLS_PROTOCOL = 'acme-tls/1'

export class ChallengeServer {
  // Does not listen: it gets connections from `answer`.
  readonly #server: Server

  constructor(log: Log, metrics: EventCounter) {
    this.#server = createServer({
      ...TLS_OPTIONS,
      ALPNProtocols: [ACME_TLS_PROTOCOL],
      SNICallback(this: TLSSocket, _serverName, done) {
        done(null, connectionInfoOf(this).context.secureContext)
      },
    })
    // RFC 8737 3: no data is exchanged after the handshake.
    this.#server.on('secureConnection', (socket) => {
      socket.on('error', () => {})
      socket.end()
      socket.resume()
    })
    this.#server.on('tlsClientError', (error, socket) => {
      const { clientIp, serverName } = connectionInfoOf(socket)
      metrics.count('tls_failed', error.message)
      log.warn('TLS_FAILED', { client_ip: clientIp, server_name: serverName, error: error.message })
    })
  }

  /**
   * @param socket has its ConnectionInfo attached and its ClientHello unread
   * @param timeoutMs until the connection is cut
   */
  answer(socket: Socket, timeoutMs: number): void {
    destroyAfter(socket, timeoutMs)
    this.#server.emit('connection', socket)
  }
}
