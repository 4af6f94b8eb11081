// An upstream on raw TCP: keeps every byte it was sent, answers byte for byte what a test says.
import { once } from 'node:events'
import net from 'node:net'
import type { TestContext } from 'node:test'
import { portOf } from './ports.ts'
import { waitFor } from './wait.ts'

export interface OriginConnection {
  readonly socket: net.Socket
  /** All that came in, as latin1: one character per byte. */
  received: string
}

/** Called for every chunk, after it has been added to `received`. */
export type RawResponse = (connection: OriginConnection) => void

/** Answers each complete bodyless request head with these bytes. */
export function answerHeads(response: string): RawResponse {
  const answered = new WeakMap<OriginConnection, number>()
  return (connection) => {
    const heads = connection.received.split('\r\n\r\n').length - 1
    for (let count = answered.get(connection) ?? 0; count < heads; count++)
      connection.socket.write(response, 'latin1')
    answered.set(connection, heads)
  }
}

export class RawOrigin {
  readonly connections: OriginConnection[] = []
  readonly port: number
  readonly #server: net.Server

  private constructor(server: net.Server) {
    this.#server = server
    this.port = portOf(server)
  }

  static async start(t: TestContext, answer: RawResponse): Promise<RawOrigin> {
    const server = net.createServer()
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const origin = new RawOrigin(server)
    server.on('connection', (socket) => origin.#accept(socket, answer))
    t.after(() => origin.close())
    return origin
  }

  /** `host:port` as the configuration wants it. */
  get upstream(): string {
    return `127.0.0.1:${this.port}`
  }

  /** Resolves with the first connection whose bytes match. */
  async waitForBytes(pattern: RegExp): Promise<OriginConnection> {
    return await waitFor(`the upstream to receive ${pattern}`, () =>
      this.connections.find(({ received }) => pattern.test(received)),
    )
  }

  close(): void {
    this.#server.close()
    for (const { socket } of this.connections) socket.destroy()
  }

  #accept(socket: net.Socket, answer: RawResponse): void {
    const connection: OriginConnection = { socket, received: '' }
    this.connections.push(connection)
    socket.on('error', () => {})
    socket.on('data', (chunk) => {
      connection.received += chunk.toString('latin1')
      answer(connection)
    })
  }
}
