// Performs the TLS handshakes of one listener's sites, on connections that the acceptor has accepted, and hands them to
// the site server.
import type { Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import type { Limits } from '@reverse-proxy/shared/config/config'
import { codeOf } from '@reverse-proxy/shared/error-text'
import type { Log } from '@reverse-proxy/shared/log-fields'
import type { ConnectionInfo } from '../connection/connection-info.ts'
import { nowMs } from '../node/timers.ts'
import { checkTlsInternals, protocolList, startHandshake } from '../node/tls-server.ts'
import type { EventCounter } from '../observability/metrics.ts'
import type { SiteServer } from './site-server.ts'

export interface TlsServerDeps {
  readonly log: Log
  readonly metrics: EventCounter
  readonly sites: Pick<SiteServer, 'track' | 'serveHttp1' | 'serveHttp2'>
}

/** HTTP/1.0 is for a client that offers nothing else. */
const PROTOCOLS = protocolList(['h2', 'http/1.1', 'http/1.0'])

export class HttpsServer {
  readonly #deps: TlsServerDeps
  readonly #handshakes = new Map<ConnectionInfo, NodeJS.Timeout>()
  #limits: Limits

  /** @throws Error if the runtime is not one that we can serve TLS with */
  constructor(limits: Limits, deps: TlsServerDeps) {
    checkTlsInternals()
    this.#limits = limits
    this.#deps = deps
  }

  /** A socket from the acceptor: nothing but the ClientHello has been read, and that has been put back. */
  adopt(socket: Socket, peeked: ConnectionInfo): void {
    const { log, metrics, sites } = this.#deps
    sites.track(socket)
    const leftMs = peeked.acceptedMs + this.#limits.tlsHandshakeTimeoutMs - nowMs()
    const timer = setTimeout(() => {
      metrics.count('tls_rejected', 'timeout')
      log.warn('TLS_REJECTED', { client_ip: peeked.clientIp, reason: 'timeout' })
      socket.destroy()
    }, leftMs)
    this.#handshakes.set(peeked, timer)
    socket.once('close', () => this.#endHandshake(peeked))
    socket.on('error', ignore)
    startHandshake(
      socket,
      { context: peeked.context.secureContext, protocols: PROTOCOLS },
      {
        onSecure: (secured) => this.#onSecure(secured, peeked),
        onFailed: (error) => this.#onFailed(error, peeked),
      },
    )
  }

  /** The deadline of handshakes applies from the next connection on. */
  configure(limits: Limits): void {
    this.#limits = limits
  }

  #endHandshake(peeked: ConnectionInfo): void {
    clearTimeout(this.#handshakes.get(peeked))
    this.#handshakes.delete(peeked)
  }

  #onSecure(socket: TLSSocket, peeked: ConnectionInfo): void {
    this.#endHandshake(peeked)
    const resumed = socket.isSessionReused()
    const { log, metrics, sites } = this.#deps
    metrics.count('tls_handshake', String(resumed))
    log.debug('TLS_ESTABLISHED', { client_ip: peeked.clientIp, resumed })
    if (socket.alpnProtocol === 'h2') sites.serveHttp2(socket, peeked)
    else sites.serveHttp1(socket, peeked)
  }

  #onFailed(cause: Error, { clientIp }: ConnectionInfo): void {
    const error = codeOf(cause) ?? cause.message
    // A client that just hangs up is not worth an info line.
    const level = error.startsWith('ERR_SSL') ? 'info' : 'debug'
    const { log, metrics } = this.#deps
    metrics.count('tls_failed', error)
    log[level]('TLS_FAILED', { client_ip: clientIp, error })
  }
}

function ignore(): void {}
