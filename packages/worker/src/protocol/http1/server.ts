// Our HTTP/1 server: every connection of one listener that speaks HTTP/1, with TLS below or without. It does not listen
// itself; its owner handles the requests.
import type { Socket } from 'node:net'
import type { Limits } from '@reverse-proxy/shared/config/config'
import type { Log } from '@reverse-proxy/shared/log-fields'
import type { Client } from '../../connection/client-connection.ts'
import type { EventCounter } from '../../observability/metrics.ts'
import type { Exchange, ExchangeDeps } from '../exchange.ts'
import { Http1Connection, type Http1Client } from './connection.ts'
import type { Http1Fault } from './fault.ts'
import type { HeadLimits } from './head-parser.ts'
import type { Http1Host } from './host.ts'

/** The parser's limits are twice those configured, so that a request beyond these gets a response and a log line. */
const PARSER_LIMIT_FACTOR = 2

export interface Http1ServerDeps {
  readonly exchange: ExchangeDeps
  readonly log: Log
  readonly metrics: EventCounter
  /** Must respond to the exchange. */
  readonly handle: (exchange: Exchange) => void
  readonly isDraining: () => boolean
}

export class Http1Server implements Http1Host<Http1Connection> {
  readonly deps: ExchangeDeps
  limits: Limits
  headLimits: HeadLimits
  keepAliveLine: string
  readonly #own: Http1ServerDeps
  readonly #connections = new Set<Http1Connection>()

  constructor(limits: Limits, deps: Http1ServerDeps) {
    this.deps = deps.exchange
    this.#own = deps
    this.limits = limits
    this.headLimits = headLimitsOf(limits)
    this.keepAliveLine = keepAliveLineOf(limits)
  }

  /** Applies from the next request on. */
  configure(limits: Limits): void {
    this.limits = limits
    this.headLimits = headLimitsOf(limits)
    this.keepAliveLine = keepAliveLineOf(limits)
  }

  adopt(socket: Socket, client: Http1Client): void {
    this.#connections.add(new Http1Connection(socket, client, this))
  }

  /** Call about once a second: ends the connections whose clients have taken too long. */
  sweep(): void {
    const nowMs = this.deps.nowMs()
    for (const connection of this.#connections) connection.check(nowMs)
  }

  /** Ends the connections that wait for a request. */
  closeIdle(): void {
    for (const connection of this.#connections) connection.closeIfIdle()
  }

  // Http1Host

  get isDraining(): boolean {
    return this.#own.isDraining()
  }

  handle(exchange: Exchange): void {
    this.#own.handle(exchange)
  }

  onFault({ code, status }: Http1Fault, { ip }: Client): void {
    this.#own.metrics.count('client_error', code)
    this.#own.log.info('CLIENT_ERROR', { client_ip: ip, status, error: code })
  }

  onClosed(connection: Http1Connection): void {
    this.#connections.delete(connection)
  }
}

function headLimitsOf({ headerBytes, headerCount }: Limits): HeadLimits {
  return { maxBytes: PARSER_LIMIT_FACTOR * headerBytes, maxFields: PARSER_LIMIT_FACTOR * headerCount }
}

function keepAliveLineOf({ keepAliveTimeoutMs }: Limits): string {
  return `Keep-Alive: timeout=${Math.floor(keepAliveTimeoutMs / 1000)}\r\n`
}
