// A request over HTTP/1 whose socket may become a tunnel: a WebSocket handshake. Until there is a tunnel, it responds
// like an ordinary exchange.
import type { Socket } from 'node:net'
import type { ExchangeDeps } from '../exchange.ts'
import { Http1Exchange, type ExchangeCarrier } from './exchange.ts'
import type { Http1RequestHead } from './request-head.ts'

export class UpgradeExchange extends Http1Exchange {
  readonly socket: Socket
  /** Bytes that the client has already sent after the head. */
  readonly firstBytes: Buffer
  #isOpen = false
  #bytesBefore = 0

  constructor(head: Http1RequestHead, firstBytes: Buffer, carrier: ExchangeCarrier, deps: ExchangeDeps) {
    super(head, carrier, deps)
    this.socket = carrier.socket
    this.firstBytes = firstBytes
  }

  /** From now on the socket belongs to the tunnel; the exchange is over when it closes. */
  opened(): void {
    this.#isOpen = true
    this.#bytesBefore = this.socket.bytesWritten
    this.status = 101
    this.isEnded = true
  }

  override finished(): void {
    if (this.#isOpen) this.bytesSent = this.socket.bytesWritten - this.#bytesBefore
    super.finished()
  }
}
