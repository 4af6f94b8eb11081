// The HTTP/2 connections of one listener. Makes a session of each TLS socket, and an exchange of each request. Checks
// the deadlines once a second, and closes the socket when its session has ended.
import type { TLSSocket } from 'node:tls'
import type { Limits } from '@reverse-proxy/shared/config/config'
import { codeOf } from '@reverse-proxy/shared/error-text'
import type { Log } from '@reverse-proxy/shared/log-fields'
import { retireSession, type ClientConnections } from '../connection/client-connections.ts'
import { Http2Connection } from '../connection/client-connection.ts'
import type { ConnectionInfo } from '../connection/connection-info.ts'
import { destroyAfter, LINGER_MS } from '../connection/lingering-close.ts'
import { readShared } from '../node/shared-reads.ts'
import { nowMs } from '../node/timers.ts'
import type { EventCounter } from '../observability/metrics.ts'
import type { Exchange, ExchangeDeps } from '../protocol/exchange.ts'
import { Http2Exchange } from '../protocol/http2/exchange.ts'
import type { ConnectionError } from '../protocol/http2/frames/frames.ts'
import { Http2Session, type SessionOwner } from '../protocol/http2/session.ts'
import { sessionLimitsOf, type SessionLimits } from '../protocol/http2/streams/settings.ts'
import type { Http2Stream } from '../protocol/http2/streams/stream.ts'

export interface Http2Deps {
  readonly log: Log
  readonly metrics: EventCounter
  readonly exchange: ExchangeDeps
  readonly connections: ClientConnections
  /** Must respond to the exchange. */
  readonly handle: (exchange: Exchange) => void
}

/** How long a session that has ended may take to send its last bytes, because its client may have stopped reading. */
const FAREWELL_MS = 1_000
const GONE: ReadonlySet<string> = new Set(['ECONNRESET', 'EPIPE'])

export class Http2Connections {
  limits: Limits
  sessionLimits: SessionLimits
  readonly #deps: Http2Deps
  readonly #open = new Set<ServedSession>()

  constructor(limits: Limits, deps: Http2Deps) {
    this.limits = limits
    this.sessionLimits = sessionLimitsOf(limits)
    this.#deps = deps
  }

  adopt(socket: TLSSocket, info: ConnectionInfo): void {
    const served = new ServedSession(socket, info, this, this.#deps)
    this.#open.add(served)
    socket.once('close', () => this.#open.delete(served))
  }

  /** Applies from the next request on; sends the clients new SETTINGS. */
  configure(limits: Limits): void {
    this.limits = limits
    this.sessionLimits = sessionLimitsOf(limits)
    for (const { session } of this.#open) session.sendSettings()
  }

  /** Call about once a second. */
  sweep(): void {
    const atMs = nowMs()
    for (const served of this.#open) served.look(atMs)
  }
}

class ServedSession implements SessionOwner {
  readonly session: Http2Session
  readonly #socket: TLSSocket
  readonly #connection: Http2Connection
  readonly #all: Http2Connections
  readonly #deps: Http2Deps
  #isRetired = false
  #bytesWritten = 0

  constructor(socket: TLSSocket, info: ConnectionInfo, all: Http2Connections, deps: Http2Deps) {
    this.#socket = socket
    this.#all = all
    this.#deps = deps
    this.#connection = new Http2Connection(info)
    const session = new Http2Session(socket, this, () => all.sessionLimits, nowMs)
    this.session = session
    readShared(socket, (bytes) => session.receive(bytes))
    socket.on('drain', () => session.onDrain())
    socket.on('end', () => session.onTransportClosed())
    socket.on('error', (error) => this.#onError(error))
    socket.once('close', () => session.onTransportClosed())
    deps.connections.addSession(session, socket)
  }

  look(atMs: number): void {
    const { bytesWritten } = this.#connection.socket
    if (bytesWritten !== this.#bytesWritten) this.#connection.lastWroteMs = atMs
    this.#bytesWritten = bytesWritten
    if (this.session.look(atMs, this.#all.limits)) destroyAfter(this.#connection.socket, FAREWELL_MS)
  }

  // SessionOwner

  onRequest(stream: Http2Stream): void {
    this.#deps.handle(new Http2Exchange(stream, this.#connection, this.#deps.exchange))
    // It may be beyond the limit if a reload has lowered that.
    if (this.#isRetired || this.session.requests < this.#all.limits.requestsPerConnection) return
    this.#isRetired = true
    retireSession(this.session)
  }

  onFault({ message, flood }: ConnectionError): void {
    const { log, metrics } = this.#deps
    metrics.count('client_error', message)
    if (flood !== undefined) metrics.count('http2_flood', flood)
    log.info('CLIENT_ERROR', { client_ip: this.#connection.client.ip, error: message, reason: flood })
    this.#socket.end()
    destroyAfter(this.#connection.socket, FAREWELL_MS)
  }

  /** Closes the socket after the last bytes of a response have been sent. */
  onFinished(): void {
    this.#socket.end()
    destroyAfter(this.#connection.socket, LINGER_MS)
  }

  #onError(cause: Error): void {
    const error = codeOf(cause) ?? cause.message
    this.#deps.metrics.count('client_error', error)
    const level = GONE.has(error) ? 'debug' : 'info'
    this.#deps.log[level]('CLIENT_ERROR', { client_ip: this.#connection.client.ip, error })
  }
}
