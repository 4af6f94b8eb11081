// The listening sockets of one listener: an address each for HTTPS and HTTP, shared with the other
// workers through node:cluster. What is done with a connection is its caller's.
import { once } from 'node:events'
import type { Server, Socket } from 'node:net'
import { createServer, isIPv6 } from 'node:net'
import { codeOf } from '@reverse-proxy/shared/error-text'
import type { InheritedSocket } from '@reverse-proxy/shared/ipc/messages'

/** Connections that wait to be accepted, a burst of them; the kernel allows net.core.somaxconn at most. Node has 511. */
const BACKLOG = 4_096

/** A port that cannot be bound; `code` as the system gives it (`EADDRINUSE`, ...). */
export class BindError extends Error {
  readonly address: string
  readonly port: number
  readonly code: string

  constructor(address: string, port: number, cause: Error) {
    super(`cannot listen on ${address} port ${port}`, { cause })
    this.name = 'BindError'
    this.address = address
    this.port = port
    this.code = codeOf(cause) ?? cause.message
  }
}

export class BoundSockets {
  readonly #servers: Server[] = []
  readonly #inherited: readonly InheritedSocket[]

  constructor(inherited: readonly InheritedSocket[]) {
    this.#inherited = inherited
  }

  /** @throws BindError; what is bound already stays so until `close` */
  async bind(addresses: readonly string[], port: number, accept: (socket: Socket) => void): Promise<void> {
    for (const address of addresses) {
      const server = createServer({ noDelay: true }, accept)
      const bound = this.#inherited.find((socket) => socket.address === address && socket.port === port)
      // node:cluster resolves a descriptor in the supervisor, whose it is.
      if (bound !== undefined) server.listen({ fd: bound.fd, backlog: BACKLOG })
      // `::` beside `0.0.0.0` is a listener of its own.
      else server.listen({ host: address, port, ipv6Only: isIPv6(address), backlog: BACKLOG })
      try {
        await once(server, 'listening')
      } catch (error) {
        throw new BindError(address, port, error instanceof Error ? error : new Error(String(error)))
      }
      // After that an error means one failed accept (too many open files, say): the next may succeed.
      server.on('error', () => {})
      this.#servers.push(server)
    }
  }

  /** No new connections from now on; those that came are not touched. Idempotent. */
  close(): void {
    for (const server of this.#servers.splice(0)) server.close()
  }
}
