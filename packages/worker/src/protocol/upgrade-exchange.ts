// A request whose socket the runtime has given away: a WebSocket handshake, or CONNECT. Answers it as
// an ordinary HTTP/1 exchange would for as long as there is no tunnel.
import { ServerResponse, type IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import { closeLingering } from '../connection/lingering-close.ts'
import type { Http1Connection } from '../connection/client-connection.ts'
import { Http1Exchange, type Http1Deps } from './http1-exchange.ts'

export class UpgradeExchange extends Http1Exchange {
  readonly socket: Socket
  /** Bytes that the client has already sent after the head. */
  readonly firstBytes: Buffer
  #isOpen = false
  #bytesBefore = 0

  constructor(req: IncomingMessage, firstBytes: Buffer, connection: Http1Connection, deps: Http1Deps) {
    const { socket } = connection
    const res = new ServerResponse(req)
    res.shouldKeepAlive = false
    res.assignSocket(socket)
    // Bytes that the client has sent for the tunnel may be unread.
    res.on('finish', () => closeLingering(socket))
    super(req, res, connection, deps, req.method !== 'CONNECT')
    this.socket = socket
    this.firstBytes = firstBytes
  }

  /** From now on the bytes on the socket are the tunnel's; the exchange is over when it closes. */
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
