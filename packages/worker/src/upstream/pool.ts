// The connections to one peer. Selects the one that a request gets and the one that is closed to make room. admission.ts
// limits their number, and queues requests, for all peers of an upstream together.
import type { ClientConnection } from '../connection/client-connection.ts'
import type { Admission, Waiter } from './admission.ts'
import { BoundConnections } from './connections/bound-connections.ts'
import { UpstreamConnection, type ConnectionOwner } from './connections/connection.ts'
import type { UpstreamConnector } from './connections/connector.ts'
import { TunnelConnection, type TunnelOwner } from './connections/tunnel-connection.ts'

/** A request that waits for a connection, and then has one. */
export interface ConnectionWaiter extends Waiter {
  /** The client connection that the request arrived on. */
  readonly client: ClientConnection
  /** The request authenticates the connection: the upstream may take all that follows on it for this user's. */
  readonly authenticates: boolean
  /** Must `send` one request on it at once, or `destroy` it. The pool gets it back by itself. */
  onConnection(connection: UpstreamConnection): void
}

/** A tunnel whose handshake waits for a connection, and then has one. */
export interface TunnelWaiter extends Waiter {
  /** Must `connect` it at once. */
  onTunnelConnection(connection: TunnelConnection): void
}

type PooledConnection = UpstreamConnection | TunnelConnection

export class ConnectionPool implements ConnectionOwner, TunnelOwner {
  readonly #connector: UpstreamConnector
  readonly #admission: Admission
  #connectTimeoutMs: number
  /** Last in, first out, so that surplus connections reach their idle timeout. */
  readonly #idle: UpstreamConnection[] = []
  readonly #bound = new BoundConnections()
  #open = 0
  #isClosed = false

  constructor(connector: UpstreamConnector, admission: Admission, connectTimeoutMs: number) {
    this.#connector = connector
    this.#admission = admission
    this.#connectTimeoutMs = connectTimeoutMs
  }

  configure(connectTimeoutMs: number): void {
    this.#connectTimeoutMs = connectTimeoutMs
  }

  /** @param fresh only a connection that no request has used yet */
  acquire(waiter: ConnectionWaiter, fresh = false): void {
    const admission = this.#admission
    const connection = admission.mayAsk ? this.#connectionFor(waiter, fresh) : undefined
    if (connection !== undefined) {
      this.#give(connection, waiter)
      return
    }
    admission.enqueue(waiter, () => {
      this.#give(this.#connectionFor(waiter, fresh) ?? this.#openConnection(), waiter)
    })
  }

  /** A connection of its own for a tunnel. */
  acquireTunnel(waiter: TunnelWaiter): void {
    const admission = this.#admission
    if (admission.mayAsk && admission.mayOpen) this.#giveTunnel(waiter)
    else admission.enqueue(waiter, () => this.#giveTunnel(waiter))
  }

  /** Removes a waiter from the queue. Has no effect if it does not wait. */
  cancel(waiter: Waiter): void {
    this.#admission.cancel(waiter)
  }

  /** There is an idle connection that only `client` may use. */
  hasBound(client: ClientConnection): boolean {
    return this.#bound.has(client)
  }

  /** Connections that are not idle. */
  get load(): number {
    return this.#open - this.#idle.length - this.#bound.idleCount
  }

  get hasIdle(): boolean {
    return this.#idle.length > 0 || this.#bound.idleCount > 0
  }

  /** @returns false if there is none */
  closeIdle(): boolean {
    const connection = this.#idle.pop() ?? this.#bound.expendable()
    connection?.destroy()
    return connection !== undefined
  }

  /** Call when no new requests arrive. Accepted ones are finished. */
  close(): void {
    this.#isClosed = true
    for (const connection of this.#idle.splice(0)) connection.destroy()
    this.#bound.close()
  }

  // ConnectionOwner

  onAnswered(connection: PooledConnection): void {
    this.#headCame(connection)
    this.#admission.useRoom()
  }

  onFree(connection: UpstreamConnection): void {
    this.#headCame(connection)
    if (this.#admission.isBeyond || this.#isClosed) {
      connection.destroy()
      return
    }
    if (connection.boundTo === undefined) this.#idle.push(connection)
    else this.#bound.keep(connection, connection.boundTo)
    this.#admission.becameIdle()
  }

  onGone(connection: PooledConnection): void {
    this.#headCame(connection)
    this.#open -= 1
    if (connection instanceof UpstreamConnection) this.#forget(connection)
    this.#admission.closed()
    this.#admission.useRoom()
  }

  #forget(connection: UpstreamConnection): void {
    if (connection.boundTo !== undefined) {
      this.#bound.remove(connection)
      return
    }
    const at = this.#idle.indexOf(connection)
    if (at !== -1) this.#idle.splice(at, 1)
  }

  #headCame(connection: PooledConnection): void {
    if (!connection.awaitsHead) return
    connection.awaitsHead = false
    this.#admission.answered()
  }

  #give(connection: UpstreamConnection, waiter: ConnectionWaiter): void {
    if (waiter.authenticates) connection.boundTo = waiter.client
    connection.awaitsHead = true
    this.#admission.asked()
    waiter.onConnection(connection)
  }

  #giveTunnel(waiter: TunnelWaiter): void {
    const connection = new TunnelConnection(this, this.#connector, this.#connectTimeoutMs)
    connection.awaitsHead = true
    this.#admission.asked()
    this.#opened()
    waiter.onTunnelConnection(connection)
  }

  /** A connection that belongs to its client, any idle one, or a new one; undefined if there is no room. */
  #connectionFor(
    { client, authenticates }: ConnectionWaiter,
    fresh: boolean,
  ): UpstreamConnection | undefined {
    if (!fresh) {
      const own = this.#bound.idleCount === 0 ? undefined : this.#bound.take(client, authenticates)
      const kept = own ?? this.#idle.pop()
      if (kept !== undefined) return kept
    }
    if (!this.#admission.mayOpen) return undefined
    const stale = this.#idle.at(-1)
    const connection = this.#openConnection()
    // A peer that has closed one idle connection may have closed this one as well.
    stale?.destroy()
    return connection
  }

  #openConnection(): UpstreamConnection {
    const connection = new UpstreamConnection(this, this.#connector, this.#connectTimeoutMs)
    this.#opened()
    return connection
  }

  #opened(): void {
    this.#open += 1
    this.#admission.opened()
  }
}
