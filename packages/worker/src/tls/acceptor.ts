// Accepts the TLS connections of one listener: reads the ClientHello, then hands the
// connection to the HTTPS server, to the challenge server, or rejects it with an alert. Performs no handshake itself.
import type { Socket } from 'node:net'
import type { Log } from '@reverse-proxy/shared/log-fields'
import type { EventCounter } from '../observability/metrics.ts'
import { ChallengeServer } from './challenge-server.ts'
import type { ClientHello, ClientHelloFault } from './client-hello.ts'
import type { ChallengeContexts, SiteContexts } from './contexts.ts'
import {
  alertRecord,
  selectContext,
  FAULT_ALERTS,
  type ClientHelloRejection,
  type ServingMode,
} from './sni-policy.ts'
import { endLingering } from '../connection/lingering-close.ts'
import { readClientHello, type ClientHelloOutcome } from './read-client-hello.ts'
import type { ConnectionInfo } from '../connection/connection-info.ts'

type Rejection = ClientHelloRejection | ClientHelloFault | 'timeout'

type Accepted = Pick<ConnectionInfo, 'clientIp' | 'acceptedMs'>

export interface TlsAcceptorOptions {
  readonly contexts: SiteContexts
  readonly challenges: ChallengeContexts
  readonly log: Log
  readonly metrics: EventCounter
  readonly mode: ServingMode
  /** From accept to the end of the ClientHello; the server of the connection counts from accept as well. */
  readonly handshakeTimeoutMs: number
  /**
   * Takes over a socket whose ClientHello is accepted. Must begin the handshake in the same tick. The bytes that were
   * read are back in the socket.
   */
  readonly serve: (socket: Socket, info: ConnectionInfo) => void
}

/** RFC 9110 15.5.1: the response to plain HTTP on the HTTPS port. */
const HTTP_RESPONSE = Buffer.from(
  'HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: 11\r\nConnection: close\r\n\r\nBad Request',
)

export class TlsAcceptor {
  readonly #options: TlsAcceptorOptions
  readonly #challengeServer: ChallengeServer
  /** Connections not handed over: the ClientHello is read, a challenge is answered, or the close lingers. */
  readonly #sockets = new Set<Socket>()
  #mode: ServingMode
  #handshakeTimeoutMs: number

  constructor(options: TlsAcceptorOptions) {
    this.#options = options
    this.#challengeServer = new ChallengeServer(options.log, options.metrics)
    this.#mode = options.mode
    this.#handshakeTimeoutMs = options.handshakeTimeoutMs
  }

  /** Connections that have not been handed over. */
  get size(): number {
    return this.#sockets.size
  }

  /** Applies to every ClientHello that is completed from now on. */
  setServingMode(mode: ServingMode): void {
    this.#mode = mode
  }

  /** Applies to every connection accepted from now on. */
  setHandshakeTimeout(handshakeTimeoutMs: number): void {
    this.#handshakeTimeoutMs = handshakeTimeoutMs
  }

  /** @param socket an admitted connection of which nothing of TLS has been read */
  accept(socket: Socket, accepted: Accepted): void {
    this.#sockets.add(socket)
    socket.once('close', () => this.#sockets.delete(socket))
    readClientHello(socket, this.#handshakeTimeoutMs, (outcome) => this.#onOutcome(socket, accepted, outcome))
  }

  /**
   * Cuts every connection that has not been handed over; idempotent. A drain calls it after a short delay, so that a
   * client that has just connected is still served.
   */
  close(): void {
    for (const socket of this.#sockets) socket.destroy()
  }

  #onOutcome(socket: Socket, accepted: Accepted, outcome: ClientHelloOutcome): void {
    const { clientIp } = accepted
    switch (outcome.kind) {
      case 'hello':
        this.#onHello(socket, accepted, outcome.hello, outcome.bytes)
        break
      case 'fault': {
        const { fault } = outcome
        this.#onRejected(clientIp, fault)
        endLingering(socket, fault === 'http' ? HTTP_RESPONSE : alertRecord(FAULT_ALERTS[fault]))
        break
      }
      case 'timeout':
        // Browsers preconnect and may never use the connection: no log line if nothing was sent.
        if (outcome.receivedBytes > 0) this.#onRejected(clientIp, 'timeout')
        socket.destroy()
        break
      case 'gone':
        socket.destroy()
        break
    }
  }

  #onHello(socket: Socket, accepted: Accepted, hello: ClientHello, bytes: Buffer): void {
    const { contexts, challenges } = this.#options
    const decision = selectContext(hello, this.#mode, contexts, challenges)
    if (decision.kind === 'reject') {
      this.#onRejected(accepted.clientIp, decision.reason, hello.serverName)
      endLingering(socket, alertRecord(decision.alert))
      return
    }
    const { serverName, context } = decision
    const info = { serverName, context, socket, ...accepted }
    socket.unshift(bytes)
    if (decision.kind === 'challenge') {
      this.#answerChallenge(socket, info)
      return
    }
    this.#sockets.delete(socket)
    this.#options.serve(socket, info)
  }

  #answerChallenge(socket: Socket, info: ConnectionInfo): void {
    const { clientIp, serverName } = info
    const fields = { status: 'challenged', client_ip: clientIp, server_name: serverName }
    this.#options.log.info('CERT_ORDER', fields)
    this.#challengeServer.answer(socket, info, this.#handshakeTimeoutMs)
  }

  #onRejected(clientIp: string, reason: Rejection, serverName?: string): void {
    this.#options.metrics.count('tls_rejected', reason)
    this.#options.log.warn('TLS_REJECTED', { client_ip: clientIp, reason, server_name: serverName })
  }
}
