// The connections of one site to its upstream: how many there may be, how many requests may wait for a response
// head, which connection a request gets, and who waits. Takes the same time however many there are.
import { ProxyError } from '@reverse-proxy/shared/errors'
import type { ClientConnection } from '../connection/client-connection.ts'
import { BoundConnections } from './bound-connections.ts'
import type { NameResolver } from '@reverse-proxy/shared/names/name-resolver'
import { UpstreamConnection, type ConnectionOwner } from './connection.ts'
import { upstreamLabel, UpstreamConnector, type UpstreamAddress } from './connector.ts'
import type { UpstreamTrust } from './trust.ts'
import { UpgradeAgent, type ConnectionRoom, type RoomJob } from './upgrade-agent.ts'

export interface PoolLimits {
  /** Requests that wait for a response head. */
  readonly maxAwaitingHead: number
  /** All connections, tunnels among them; Infinity: no bound. */
  readonly maxConnections: number
  readonly connectTimeoutMs: number
}

/** A request that waits for a connection, and then has one. */
export interface ConnectionWaiter {
  /** The client connection that the request has come by. */
  readonly client: ClientConnection
  /** The upstream may take the connection for the user's from this request on. */
  readonly authenticates: boolean
  /** To `send` one request on, now; or to `destroy`. It comes back by itself. */
  onConnection(connection: UpstreamConnection): void
  /** UPSTREAM_QUEUE_FULL; or, for having waited in vain, UPSTREAM_QUEUE_TIMEOUT or UPSTREAM_MAX_CONNECTIONS. */
  onAcquireFailed(error: ProxyError): void
}

/** Requests of one site that wait for their turn. */
const MAX_QUEUED = 1024

export class UpstreamPool implements ConnectionOwner, ConnectionRoom {
  readonly label: string
  readonly address: UpstreamAddress
  readonly #connector: UpstreamConnector
  #limits: PoolLimits
  readonly #open = new Set<UpstreamConnection>()
  /** Last in, first out: what is not needed gets the chance to time out. */
  readonly #idle: UpstreamConnection[] = []
  readonly #bound = new BoundConnections()
  readonly #queue = new Map<ConnectionWaiter | RoomJob, NodeJS.Timeout>()
  #awaitingHead = 0
  #tunnels = 0
  #isClosed = false

  constructor(address: UpstreamAddress, limits: PoolLimits, trust: UpstreamTrust, names: NameResolver) {
    this.address = address
    this.label = upstreamLabel(address)
    this.#limits = limits
    this.#connector = new UpstreamConnector(address, trust, names)
  }

  configure(limits: PoolLimits): void {
    this.#limits = limits
    this.#useRoom()
  }

  /** For one handshake, which has to go through the runtime's own HTTP client. */
  newUpgradeAgent(): UpgradeAgent {
    return new UpgradeAgent(this.#connector, this, this.#limits.connectTimeoutMs)
  }

  /** @param fresh on a connection that no request has used yet */
  acquire(job: ConnectionWaiter, fresh = false): void {
    if (this.#awaitingHead >= this.#limits.maxAwaitingHead) {
      this.#enqueue(job)
      return
    }
    const connection = this.#connectionFor(job, fresh)
    if (connection === undefined) this.#enqueue(job)
    else this.#give(connection, job)
  }

  /** An idle connection waits that only `client` may use. */
  hasBound(client: ClientConnection): boolean {
    return this.#bound.has(client)
  }

  /** A job that is no longer wanted; without effect if it is not waiting. */
  cancel(job: ConnectionWaiter | RoomJob): void {
    clearTimeout(this.#queue.get(job))
    this.#queue.delete(job)
  }

  /** No new jobs will come. Those that have been accepted are finished. */
  close(): void {
    this.#isClosed = true
    for (const connection of this.#idle.splice(0)) connection.destroy()
    this.#bound.close()
  }

  // ConnectionOwner

  onAnswered(connection: UpstreamConnection): void {
    this.#headCame(connection)
    this.#useRoom()
  }

  onFree(connection: UpstreamConnection): void {
    this.#headCame(connection)
    const isSurplus = this.#awaitingHead >= this.#limits.maxAwaitingHead || this.#isBeyond
    if (isSurplus || (this.#isClosed && this.#queue.size === 0)) {
      connection.destroy()
      return
    }
    if (connection.boundTo === undefined) this.#idle.push(connection)
    else this.#bound.keep(connection, connection.boundTo)
    this.#useRoom()
  }

  onGone(connection: UpstreamConnection): void {
    this.#headCame(connection)
    this.#open.delete(connection)
    if (connection.boundTo !== undefined) {
      this.#bound.remove(connection)
    } else {
      const at = this.#idle.indexOf(connection)
      if (at !== -1) this.#idle.splice(at, 1)
    }
    this.#useRoom()
  }

  // ConnectionRoom, for tunnels

  reserve(job: RoomJob): void {
    if (!this.#hasRoom) this.#expendable()?.destroy()
    if (this.#hasRoom) this.#giveRoom(job)
    else this.#enqueue(job)
  }

  release(): void {
    this.#tunnels -= 1
    this.#useRoom()
  }

  get #hasRoom(): boolean {
    return this.#open.size + this.#tunnels < this.#limits.maxConnections
  }

  /** A reload has lowered the bound. */
  get #isBeyond(): boolean {
    return this.#open.size + this.#tunnels > this.#limits.maxConnections
  }

  #headCame(connection: UpstreamConnection): void {
    if (!connection.awaitsHead) return
    connection.awaitsHead = false
    this.#awaitingHead -= 1
  }

  #give(connection: UpstreamConnection, job: ConnectionWaiter): void {
    if (job.authenticates) connection.boundTo = job.client
    connection.awaitsHead = true
    this.#awaitingHead += 1
    job.onConnection(connection)
  }

  #giveRoom(job: RoomJob): void {
    this.#tunnels += 1
    job.onRoom()
  }

  /** Serves those that wait, in order, as far as there is room. */
  #useRoom(): void {
    while (this.#queue.size > 0 && this.#awaitingHead < this.#limits.maxAwaitingHead) {
      if (!this.#hasRoom && this.#idle.length === 0 && this.#bound.idleCount === 0) return
      const next = this.#dequeue()
      if (next === undefined) return
      if ('onRoom' in next) {
        const isRoomNeeded = !this.#hasRoom
        // Taken before the idle one goes, which lets others ask for its room.
        this.#giveRoom(next)
        if (isRoomNeeded) this.#expendable()?.destroy()
      } else {
        this.#give(this.#connectionFor(next, false) ?? this.#openConnection(), next)
      }
    }
  }

  /** Its client's own, any idle one, or a new one, to which an idle one gives its room; undefined: there is none. */
  #connectionFor(
    { client, authenticates }: ConnectionWaiter,
    fresh: boolean,
  ): UpstreamConnection | undefined {
    if (!fresh) {
      const own = this.#bound.idleCount === 0 ? undefined : this.#bound.take(client, authenticates)
      const kept = own ?? this.#idle.pop()
      if (kept !== undefined) return kept
    }
    // If an upstream has closed one connection on us, it may well have closed this one, too.
    const stale = this.#idle.pop()
    const victim = stale ?? (this.#hasRoom ? undefined : this.#bound.expendable())
    if (victim === undefined && !this.#hasRoom) return undefined
    const connection = this.#openConnection()
    // After that: its end lets others ask for its room.
    victim?.destroy()
    return connection
  }

  #expendable(): UpstreamConnection | undefined {
    return this.#idle.pop() ?? this.#bound.expendable()
  }

  #openConnection(): UpstreamConnection {
    const connection = new UpstreamConnection(this, this.#connector, this.#limits.connectTimeoutMs)
    this.#open.add(connection)
    return connection
  }

  #enqueue(job: ConnectionWaiter | RoomJob): void {
    if (this.#queue.size >= MAX_QUEUED) {
      job.onAcquireFailed(new ProxyError('UPSTREAM_QUEUE_FULL', 'too many requests wait for this upstream'))
      return
    }
    const timer = setTimeout(() => {
      this.#queue.delete(job)
      job.onAcquireFailed(
        this.#hasRoom
          ? new ProxyError('UPSTREAM_QUEUE_TIMEOUT', 'no turn came in time')
          : new ProxyError('UPSTREAM_MAX_CONNECTIONS', 'no connection became free in time'),
      )
    }, this.#limits.connectTimeoutMs)
    this.#queue.set(job, timer)
  }

  #dequeue(): ConnectionWaiter | RoomJob | undefined {
    for (const [job, timer] of this.#queue) {
      clearTimeout(timer)
      this.#queue.delete(job)
      return job
    }
    return undefined
  }
}
