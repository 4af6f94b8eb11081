// The connections of one site to its upstream: how many there may be, which one a request gets, and
// who waits. Takes the same time however many there are.
import type { Agent } from 'node:http'
import { ProxyError } from '@reverse-proxy/shared/errors'
import type { NameResolver } from './name-resolver.ts'
import { UpstreamConnection, type ConnectionOwner } from './upstream-connection.ts'
import { upstreamLabel, UpstreamConnector, type UpstreamAddress } from './upstream-connector.ts'
import type { UpstreamTrust } from './upstream-trust.ts'
import { UpgradeAgent } from './upgrade-agent.ts'

export interface PoolLimits {
  readonly maxConnections: number
  readonly connectTimeoutMs: number
}

/** A request that waits for a connection, and then has one. */
export interface PoolJob {
  /** To `send` one request on, now; or to `destroy`. It comes back by itself. */
  onConnection(connection: UpstreamConnection): void
  /** UPSTREAM_QUEUE_FULL, or UPSTREAM_QUEUE_TIMEOUT for having waited in vain. */
  onNoConnection(error: ProxyError): void
}

/** SPEC 8. */
const MAX_QUEUED = 1024

export class UpstreamPool implements ConnectionOwner {
  readonly label: string
  readonly address: UpstreamAddress
  readonly #connector: UpstreamConnector
  #limits: PoolLimits
  readonly #open = new Set<UpstreamConnection>()
  /** Last in, first out: what is not needed gets the chance to time out. */
  readonly #idle: UpstreamConnection[] = []
  readonly #queue = new Map<PoolJob, NodeJS.Timeout>()
  #upgradeAgent: Agent | undefined
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

  /** For what has to go through the runtime's own HTTP client: upgrades. Not counted among the connections. */
  get upgradeAgent(): Agent {
    this.#upgradeAgent ??= new UpgradeAgent(this.#connector, () => this.#limits.connectTimeoutMs)
    return this.#upgradeAgent
  }

  /** @param fresh on a connection that no request has used yet */
  acquire(job: PoolJob, fresh = false): void {
    const idle = this.#idle.pop()
    if (idle !== undefined && !fresh) {
      job.onConnection(idle)
      return
    }
    // The idle one makes room for a fresh one: if an upstream has closed one connection on us, it may
    // well have closed this one, too.
    idle?.destroy()
    if (this.#open.size < this.#limits.maxConnections) job.onConnection(this.#openConnection())
    else this.#enqueue(job)
  }

  /** A job that is no longer wanted; without effect if it is not waiting. */
  cancel(job: PoolJob): void {
    clearTimeout(this.#queue.get(job))
    this.#queue.delete(job)
  }

  /** No new jobs will come. Those that have been accepted are finished. */
  close(): void {
    this.#isClosed = true
    for (const connection of this.#idle.splice(0)) connection.destroy()
  }

  // ConnectionOwner

  onFree(connection: UpstreamConnection): void {
    const isSurplus = this.#open.size > this.#limits.maxConnections
    const next = isSurplus ? undefined : this.#dequeue()
    if (next !== undefined) next.onConnection(connection)
    else if (isSurplus || this.#isClosed) connection.destroy()
    else this.#idle.push(connection)
  }

  onGone(connection: UpstreamConnection): void {
    this.#open.delete(connection)
    const at = this.#idle.indexOf(connection)
    if (at !== -1) this.#idle.splice(at, 1)
    this.#useRoom()
  }

  /** A reload may have made more of it or less. */
  #useRoom(): void {
    while (this.#open.size < this.#limits.maxConnections) {
      const next = this.#dequeue()
      if (next === undefined) return
      next.onConnection(this.#openConnection())
    }
  }

  #openConnection(): UpstreamConnection {
    const connection = new UpstreamConnection(this, this.#connector, this.#limits.connectTimeoutMs)
    this.#open.add(connection)
    return connection
  }

  #enqueue(job: PoolJob): void {
    if (this.#queue.size >= MAX_QUEUED) {
      job.onNoConnection(new ProxyError('UPSTREAM_QUEUE_FULL', 'too many requests wait for this upstream'))
      return
    }
    const timer = setTimeout(() => {
      this.#queue.delete(job)
      job.onNoConnection(new ProxyError('UPSTREAM_QUEUE_TIMEOUT', 'no connection became free in time'))
    }, this.#limits.connectTimeoutMs)
    this.#queue.set(job, timer)
  }

  #dequeue(): PoolJob | undefined {
    for (const [job, timer] of this.#queue) {
      clearTimeout(timer)
      this.#queue.delete(job)
      return job
    }
    return undefined
  }
}
