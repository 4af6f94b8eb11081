// Answers tls-alpn-01 validations (RFC 8737): one handshake with the challenge certificate, then goodbye.
// Whoever hands a socket over has seen that its ClientHello asks for nothing but `acme-tls/1`.
import type { Socket } from 'node:net'
import { createServer, type Server } from 'node:tls'
import type { Log } from '@reverse-proxy/shared/log-fields'
import type { ChallengeContexts } from './contexts.ts'
import { destroyAfter } from './farewell.ts'
import { TLS_POLICY } from './policy.ts'

export const ACME_TLS_PROTOCOL = 'acme-tls/1'

export class ChallengeServer {
  // Never listens: connections are handed to it.
  readonly #server: Server

  constructor(challenges: Pick<ChallengeContexts, 'lookup'>, log: Log) {
    this.#server = createServer({
      ...TLS_POLICY,
      ALPNProtocols: [ACME_TLS_PROTOCOL],
      // A challenge disarmed since the peek finds no certificate, and the handshake fails.
      SNICallback: (serverName, done) => done(null, challenges.lookup(serverName.toLowerCase())),
    })
    // RFC 8737 3: once the handshake is done nothing more is exchanged.
    this.#server.on('secureConnection', (socket) => {
      socket.on('error', () => {})
      socket.end()
      socket.resume()
    })
    this.#server.on('tlsClientError', (error, socket) => {
      log.warn('TLS_FAILED', { client_ip: socket.remoteAddress, error: error.message })
    })
  }

  /** @param timeoutMs for everything, from now to the close */
  answer(socket: Socket, timeoutMs: number): void {
    destroyAfter(socket, timeoutMs)
    this.#server.emit('connection', socket)
  }
}
