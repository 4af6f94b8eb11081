// Performs the TLS handshakes of one listener's sites, on connections that the acceptor has accepted, and hands them to
// the site server.
import type { X509Certificate } from 'node:crypto'
import type { Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import type { Limits } from '@reverse-proxy/shared/config/config'
import { codeOf } from '@reverse-proxy/shared/error-text'
import type { Log } from '@reverse-proxy/shared/log-fields'
import type { ClientCertificate, ConnectionInfo } from '../connection/connection-info.ts'
import { nowMs } from '../node/timers.ts'
import {
  checkTlsInternals,
  CLIENT_CERTIFICATE,
  protocolList,
  startHandshake,
  type ClientAuth,
} from '../node/tls-server.ts'
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
  #clientAuth: ClientAuth | undefined

  /** @throws Error if the runtime is not one that we can serve TLS with */
  constructor(limits: Limits, clientAuth: ClientAuth | undefined, deps: TlsServerDeps) {
    checkTlsInternals()
    this.#limits = limits
    this.#clientAuth = clientAuth
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
      { context: peeked.context.secureContext, protocols: PROTOCOLS, clientAuth: this.#clientAuth },
      {
        onSecure: (secured, shown) => this.#onSecure(secured, peeked, shown),
        onFailed: (error) => this.#onFailed(error, peeked),
      },
    )
  }

  /** The deadline of handshakes applies from the next connection on. */
  configure(limits: Limits, clientAuth: ClientAuth | undefined): void {
    this.#limits = limits
    this.#clientAuth = clientAuth
  }

  #endHandshake(peeked: ConnectionInfo): void {
    clearTimeout(this.#handshakes.get(peeked))
    this.#handshakes.delete(peeked)
  }

  #onSecure(socket: TLSSocket, peeked: ConnectionInfo, shown: X509Certificate | undefined): void {
    this.#endHandshake(peeked)
    const resumed = socket.isSessionReused()
    const { log, metrics, sites } = this.#deps
    metrics.count('tls_handshake', String(resumed))
    log.debug('TLS_ESTABLISHED', { client_ip: peeked.clientIp, resumed })
    const client = shown === undefined ? peeked : { ...peeked, clientCertificate: clientCertificateOf(shown) }
    if (socket.alpnProtocol === 'h2') sites.serveHttp2(socket, client)
    else sites.serveHttp1(socket, client)
  }

  #onFailed(cause: Error, { clientIp }: ConnectionInfo): void {
    const error = codeOf(cause) ?? cause.message
    // A client that just hangs up is not worth an info line.
    const level = error.startsWith('ERR_SSL') || error.startsWith(CLIENT_CERTIFICATE) ? 'info' : 'debug'
    const { log, metrics } = this.#deps
    metrics.count('tls_failed', error)
    log[level]('TLS_FAILED', { client_ip: clientIp, error })
  }
}

/** The runtime gives the subject in a line for each part, the most general first, escaped as RFC 4514 2.4 wants it. */
function clientCertificateOf({ subject, fingerprint256 }: X509Certificate): ClientCertificate {
  const name = subject.split('\n').toReversed().join(',')
  return {
    subject: Buffer.from(name).toString('latin1'),
    fingerprint: fingerprint256.replaceAll(':', '').toLowerCase(),
  }
}

function ignore(): void {}
