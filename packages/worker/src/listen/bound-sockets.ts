// The listening sockets of one listener, for each address and port, shared with the other workers through node:cluster.
// The caller handles the connections.
import { once } from 'node:events'
import type { Server, Socket } from 'node:net'
import { createServer, isIPv6 } from 'node:net'
import { codeOf } from '@reverse-proxy/shared/error-text'
import type { InheritedSocket } from '@reverse-proxy/shared/ipc/messages'

/** Limit on connections that wait to be accepted, at most net.core.somaxconn. Node's default is 511. */
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

  /** @throws BindError; sockets that are bound stay bound until `close` */
  async bind(addresses: readonly string[], port: number, accept: (socket: Socket) => void): Promise<void> {
    for (const address of addresses) {
      const server = createServer({ noDelay: true }, accept)
      const bound = this.#inherited.find((socket) => socket.address === address && socket.port === port)
      // node:cluster resolves the descriptor in the supervisor, which owns it.
      if (bound !== undefined) server.listen({ fd: bound.fd, backlog: BACKLOG })
      // `::` must not include IPv4, because `0.0.0.0` is a separate socket.
      else server.listen({ host: address, port, ipv6Only: isIPv6(address), backlog: BACKLOG })
      try {
        await once(server, 'listening')
      } catch (error) {
        throw new BindError(address, port, error instanceof Error ? error : new Error(String(error)))
      }
      // From now on an error means one failed accept (such as too many open files); the next one may succeed.
      server.on('error', () => {})
      this.#servers.push(server)
    }
  }

  /** Stops accepting; accepted connections stay open. Idempotent. */
  close(): void {
    for (const server of this.#servers.splice(0)) server.close()
  }
}
