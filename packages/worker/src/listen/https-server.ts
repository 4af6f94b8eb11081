// Performs the TLS handshakes of one listener's sites, on connections that the acceptor has accepted, and hands them to
// the site server. Owns the TLS server, which never listens.
import type { Socket } from 'node:net'
import type { Server, TLSSocket } from 'node:tls'
import type { Limits } from '@reverse-proxy/shared/config/config'
import { codeOf } from '@reverse-proxy/shared/error-text'
import type { Log } from '@reverse-proxy/shared/log-fields'
import { connectionInfoOf, type ConnectionInfo } from '../connection/connection-info.ts'
import { nowMs } from '../node/timers.ts'
import { createTlsServer } from '../node/tls-server.ts'
import type { EventCounter } from '../observability/metrics.ts'
import { SESSION_ID_CONTEXT, TLS_OPTIONS } from '../tls/policy.ts'
import type { SiteServer } from './site-server.ts'

export interface TlsServerDeps {
  readonly log: Log
  readonly metrics: EventCounter
  /** 48 bytes, the same in all workers. */
  readonly ticketKeys: Uint8Array
  readonly sites: Pick<SiteServer, 'track' | 'serveHttp1' | 'serveHttp2'>
}

export class HttpsServer {
  readonly #deps: TlsServerDeps
  readonly #server: Server
  readonly #handshakes = new Map<ConnectionInfo, NodeJS.Timeout>()
  #limits: Limits

  constructor(limits: Limits, deps: TlsServerDeps) {
    this.#limits = limits
    this.#deps = deps
    this.#server = createTlsServer({
      limits,
      ticketKeys: deps.ticketKeys,
      sessionIdContext: SESSION_ID_CONTEXT,
      tls: TLS_OPTIONS,
      contextOf: (socket) => connectionInfoOf(socket).context.secureContext,
    })
    this.#server.on('secureConnection', (socket) => this.#onSecure(socket))
    this.#server.prependListener('tlsClientError', (error, socket) => this.#onTlsError(error, socket))
    this.#server.on('error', (error) => deps.log.error('INTERNAL_ERROR', { error: error.message }))
  }

  /** A socket from the acceptor: nothing but the ClientHello has been read, and that has been put back. */
  adopt(socket: Socket, peeked: ConnectionInfo): void {
    const { log, metrics, sites } = this.#deps
    sites.track(socket)
    // The runtime's own handshake timeout starts again with every byte.
    const leftMs = peeked.acceptedMs + this.#limits.tlsHandshakeTimeoutMs - nowMs()
    const timer = setTimeout(() => {
      metrics.count('tls_rejected', 'timeout')
      log.warn('TLS_REJECTED', { client_ip: peeked.clientIp, reason: 'timeout' })
      socket.destroy()
    }, leftMs)
    this.#handshakes.set(peeked, timer)
    socket.once('close', () => this.#endHandshake(peeked))
    socket.on('error', ignore)
    this.#server.emit('connection', socket)
  }

  /** The deadline of handshakes applies from the next connection on. */
  configure(limits: Limits): void {
    this.#limits = limits
  }

  setTicketKeys(ticketKeys: Uint8Array): void {
    this.#server.setTicketKeys(Buffer.from(ticketKeys))
  }

  #endHandshake(peeked: ConnectionInfo): void {
    clearTimeout(this.#handshakes.get(peeked))
    this.#handshakes.delete(peeked)
  }

  #onSecure(socket: TLSSocket): void {
    const peeked = connectionInfoOf(socket)
    this.#endHandshake(peeked)
    const resumed = socket.isSessionReused()
    const { log, metrics, sites } = this.#deps
    metrics.count('tls_handshake', String(resumed))
    log.debug('TLS_ESTABLISHED', { client_ip: peeked.clientIp, resumed })
    if (socket.alpnProtocol === 'h2') sites.serveHttp2(socket, peeked)
    else sites.serveHttp1(socket, peeked)
  }

  #onTlsError(cause: Error, socket: TLSSocket): void {
    const clientIp = connectionInfoOf(socket).clientIp
    const error = codeOf(cause) ?? cause.message
    // A client that just hangs up is not worth an info line.
    const level = error.startsWith('ERR_SSL') ? 'info' : 'debug'
    const { log, metrics } = this.#deps
    metrics.count('tls_failed', error)
    log[level]('TLS_FAILED', { client_ip: clientIp, error })
    socket.destroy()
  }
}

function ignore(): void {}
