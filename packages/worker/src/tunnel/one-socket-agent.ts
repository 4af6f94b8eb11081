// Lets the runtime's HTTP client send one request on a connection that is already open.
import { Agent } from 'node:http'
import type { Socket } from 'node:net'

export class OneSocketAgent extends Agent {
  readonly #socket: Socket

  constructor(socket: Socket) {
    super({ keepAlive: false })
    this.#socket = socket
  }

  override createConnection(): Socket {
    return this.#socket
  }
}
