// From what the runtime has parsed on an HTTP/1 connection to exchanges, each when it is its turn. What
// is done with them is the listener's.
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Http1Connection } from '../connection/client-connection.ts'
import { Http1Exchange, type Http1Deps } from './http1-exchange.ts'
import { UpgradeExchange } from './upgrade-exchange.ts'

export class Http1RequestQueue {
  readonly #deps: Http1Deps
  readonly #connect: (socket: Socket) => Http1Connection
  readonly #handle: (exchange: Http1Exchange) => void
  readonly #connections = new WeakMap<Socket, Http1Connection>()

  /**
   * @param connect what is known of a connection, asked once for each
   * @param handle sees to it that an exchange is answered
   */
  constructor(
    deps: Http1Deps,
    connect: (socket: Socket) => Http1Connection,
    handle: (exchange: Http1Exchange) => void,
  ) {
    this.#deps = deps
    this.#connect = connect
    this.#handle = handle
  }

  connectionOf(socket: Socket): Http1Connection {
    let connection = this.#connections.get(socket)
    if (connection === undefined) {
      connection = this.#connect(socket)
      this.#connections.set(socket, connection)
    }
    return connection
  }

  /** For 'request' and the two kinds of 'check...'. */
  onRequest(req: IncomingMessage, res: ServerResponse): void {
    const connection = this.connectionOf(req.socket)
    if (connection.isFree) this.#begin(req, res, connection)
    else connection.enqueue(() => this.#begin(req, res, connection))
  }

  /** For 'upgrade' and 'connect': the runtime has given the socket away. */
  onUpgrade(req: IncomingMessage, firstBytes: Buffer): void {
    const connection = this.connectionOf(req.socket)
    connection.givenAway()
    // A tunnel behind answers that are still owed would come before them.
    if (connection.isFree) this.#beginGivenAway(req, firstBytes, connection)
    else connection.enqueue(() => this.#beginGivenAway(req, firstBytes, connection))
  }

  #begin(req: IncomingMessage, res: ServerResponse, connection: Http1Connection): void {
    const exchange = new Http1Exchange(req, res, connection, this.#deps)
    if (connection.isUnreadable && !exchange.isRequestComplete) exchange.onUnreadable()
    else this.#handle(exchange)
  }

  #beginGivenAway(req: IncomingMessage, firstBytes: Buffer, connection: Http1Connection): void {
    this.#handle(new UpgradeExchange(req, firstBytes, connection, this.#deps))
  }
}
