// One listener's front door: a connection is counted, its ClientHello is read, and then it is served,
// shown a challenge certificate, or turned away with an alert. Speaks no HTTP, and no TLS of its own.
import type { Socket } from 'node:net'
import { clientKey, foldMappedAddress } from '@reverse-proxy/shared/client-key'
import type { Log } from '@reverse-proxy/shared/log-fields'
import type { ConnectionLimits } from '../connection/connection-limits.ts'
import type { ConnectionLimitLog } from '../connection/connection-limit-log.ts'
import { nowMs } from '../node/timers.ts'
import type { EventCounter } from '../observability/metrics.ts'
import { alertRecord } from './alerts.ts'
import { ChallengeServer } from './challenge-server.ts'
import type { ClientHello, ClientHelloFault } from './client-hello.ts'
import type { ChallengeContexts, SiteContexts } from './contexts.ts'
import { selectContext, FAULT_ALERTS, type ClientHelloRejection, type Stage } from './sni-policy.ts'
import { endLingering } from '../connection/lingering-close.ts'
import { readClientHello, type ClientHelloOutcome } from './read-client-hello.ts'
import { attachConnectionInfo, type ConnectionInfo } from '../connection/connection-info.ts'

type Refusal = ClientHelloRejection | ClientHelloFault | 'timeout'

type Accepted = Pick<ConnectionInfo, 'clientIp' | 'acceptedMs'>

export interface TlsAcceptorOptions {
  readonly contexts: SiteContexts
  readonly challenges: ChallengeContexts
  /** Shared by all listeners of the worker. */
  readonly connections: ConnectionLimits
  readonly connectionLimitLog: ConnectionLimitLog
  readonly log: Log
  readonly metrics: EventCounter
  readonly stage: Stage
  /** From accept to the end of the ClientHello; who serves the connection counts from accept as well. */
  readonly handshakeTimeoutMs: number
  /**
   * Takes over a socket whose client is to be served: emit it as a 'connection' of the site's HTTP
   * server, in this same tick. All its bytes are in it again.
   */
  readonly serve: (socket: Socket, peeked: ConnectionInfo) => void
}

/** RFC 9110 15.5.1, for a browser that was told http:// where https:// was meant. */
const HTTP_ANSWER = Buffer.from(
  'HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: 11\r\nConnection: close\r\n\r\nBad Request',
)

export class TlsAcceptor {
  readonly #options: TlsAcceptorOptions
  readonly #challengeServer: ChallengeServer
  /** Not handed over: being peeked at, answering a challenge, or saying farewell. */
  readonly #sockets = new Set<Socket>()
  #stage: Stage
  #handshakeTimeoutMs: number

  constructor(options: TlsAcceptorOptions) {
    this.#options = options
    this.#challengeServer = new ChallengeServer(options.log, options.metrics)
    this.#stage = options.stage
    this.#handshakeTimeoutMs = options.handshakeTimeoutMs
  }

  /** Connections that have not been handed over. */
  get size(): number {
    return this.#sockets.size
  }

  /** Holds for every ClientHello that is complete from now on. */
  setStage(stage: Stage): void {
    this.#stage = stage
  }

  /** Holds for every connection accepted from now on. */
  setHandshakeTimeout(handshakeTimeoutMs: number): void {
    this.#handshakeTimeoutMs = handshakeTimeoutMs
  }

  /** For the 'connection' event of a net.Server, whose sockets nobody else has touched. */
  accept(socket: Socket): void {
    // Whatever breaks the connection also closes it, and 'close' is what everyone here acts on.
    socket.on('error', () => {})
    const { remoteAddress } = socket
    if (remoteAddress === undefined) {
      socket.destroy() // the client was gone before we looked
      return
    }
    const acceptedMs = nowMs()
    const clientIp = foldMappedAddress(remoteAddress)
    if (!this.#admit(socket, clientIp)) return
    this.#sockets.add(socket)
    socket.once('close', () => this.#sockets.delete(socket))
    readClientHello(socket, this.#handshakeTimeoutMs, (outcome) =>
      this.#onPeeked(socket, { clientIp, acceptedMs }, outcome),
    )
  }

  /**
   * Cuts every connection that has not been handed over; idempotent. In a drain, wait a little before:
   * a client whose hello is on its way is still to be served.
   */
  close(): void {
    for (const socket of this.#sockets) socket.destroy()
  }

  #admit(socket: Socket, clientIp: string): boolean {
    const { connections, connectionLimitLog } = this.#options
    const client = clientKey(clientIp)
    const refusal = connections.admit(client)
    if (refusal !== undefined) {
      connectionLimitLog.add(client, clientIp, refusal)
      socket.destroy()
      return false
    }
    socket.once('close', () => connections.release(client))
    return true
  }

  #onPeeked(socket: Socket, accepted: Accepted, outcome: ClientHelloOutcome): void {
    const { clientIp } = accepted
    switch (outcome.kind) {
      case 'hello':
        this.#onHello(socket, accepted, outcome.hello, outcome.bytes)
        break
      case 'fault': {
        const { fault } = outcome
        this.#logRefusal(clientIp, fault)
        endLingering(socket, fault === 'http' ? HTTP_ANSWER : alertRecord(FAULT_ALERTS[fault]))
        break
      }
      case 'timeout':
        // Browsers open connections ahead of need and may never use them: not worth a line.
        if (outcome.receivedBytes > 0) this.#logRefusal(clientIp, 'timeout')
        socket.destroy()
        break
      case 'gone':
        socket.destroy()
        break
    }
  }

  #onHello(socket: Socket, accepted: Accepted, hello: ClientHello, bytes: Buffer): void {
    const { contexts, challenges } = this.#options
    const decision = selectContext(hello, this.#stage, contexts, challenges)
    if (decision.kind === 'refuse') {
      this.#logRefusal(accepted.clientIp, decision.reason, hello.serverName)
      endLingering(socket, alertRecord(decision.alert))
      return
    }
    const { serverName, context } = decision
    const peeked = { serverName, context, socket, ...accepted }
    attachConnectionInfo(socket, peeked)
    socket.unshift(bytes)
    if (decision.kind === 'serve') this.#serve(socket, peeked)
    else this.#answerChallenge(socket, peeked)
  }

  #serve(socket: Socket, peeked: ConnectionInfo): void {
    this.#sockets.delete(socket)
    this.#options.serve(socket, peeked)
  }

  #answerChallenge(socket: Socket, { clientIp, serverName }: ConnectionInfo): void {
    const fields = { status: 'challenged', client_ip: clientIp, server_name: serverName }
    this.#options.log.info('CERT_ORDER', fields)
    this.#challengeServer.answer(socket, this.#handshakeTimeoutMs)
  }

  #logRefusal(clientIp: string, reason: Refusal, serverName?: string): void {
    this.#options.metrics.count('tls_rejected', reason)
    this.#options.log.warn('TLS_REJECTED', { client_ip: clientIp, reason, server_name: serverName })
  }
}
