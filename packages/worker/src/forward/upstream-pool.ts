// The connections of one site to its upstream: how many there may be, which one a request gets, and
// who waits. An undici Client is one connection; choosing it here instead of in undici's Pool tells
// for certain whether a connection has served before, and takes the same time however many there are.
import type { Agent } from 'node:http'
import { isIP } from 'node:net'
import { Client, type Dispatcher } from 'undici'
import { ProxyError } from '@reverse-proxy/shared/errors'
import { upstreamLabel, UpstreamConnector, type UpstreamAddress } from './upstream-connector.ts'
import type { UpstreamTrust } from './upstream-trust.ts'
import { UpgradeAgent } from './upgrade-agent.ts'

export interface PoolLimits {
  readonly maxConnections: number
  readonly connectTimeoutMs: number
}

/** A request that waits for a connection, and then has one. */
export interface PoolJob {
  /** Use `connection.dispatch` now, and call `connection.release` when the exchange with the upstream is over. */
  onConnection(connection: PooledConnection): void
  /** UPSTREAM_QUEUE_FULL, or UPSTREAM_QUEUE_TIMEOUT for having waited in vain. */
  onNoConnection(error: ProxyError): void
}

/** SPEC 8. */
const MAX_QUEUED = 1024
/** Shorter than any common server's own limit, so that it is we who close; a server's hint may lengthen it. */
const IDLE_TIMEOUT_MS = 4_000
const MAX_IDLE_TIMEOUT_MS = 60_000
const MAX_RESPONSE_HEADER_BYTES = 65_536

export class UpstreamPool {
  readonly label: string
  readonly address: UpstreamAddress
  readonly #connector: UpstreamConnector
  #limits: PoolLimits
  readonly #open = new Set<PooledConnection>()
  /** Last in, first out: what is not needed gets the chance to time out. */
  readonly #idle: PooledConnection[] = []
  readonly #queue = new Map<PoolJob, NodeJS.Timeout>()
  #upgradeAgent: Agent | undefined
  #isClosed = false

  constructor(address: UpstreamAddress, limits: PoolLimits, trust: UpstreamTrust) {
    this.address = address
    this.label = upstreamLabel(address)
    this.#limits = limits
    this.#connector = new UpstreamConnector(address, trust)
  }

  configure(limits: PoolLimits): void {
    this.#limits = limits
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
    idle?.retire()
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
    for (const connection of this.#idle.splice(0)) connection.retire()
  }

  /** `connection` is free again, or gone if it has been retired. */
  released(connection: PooledConnection): void {
    const next = this.#dequeue()
    if (next === undefined) {
      if (this.#isClosed) connection.retire()
      else if (!connection.isRetired) this.#idle.push(connection)
    } else if (connection.isRetired) {
      this.acquire(next)
    } else {
      next.onConnection(connection)
    }
  }

  retired(connection: PooledConnection): void {
    this.#open.delete(connection)
    const at = this.#idle.indexOf(connection)
    if (at !== -1) this.#idle.splice(at, 1)
  }

  #openConnection(): PooledConnection {
    const connection = new PooledConnection(this, this.#connector, this.#limits.connectTimeoutMs)
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

export class PooledConnection {
  readonly #pool: UpstreamPool
  readonly #client: Client
  readonly #servername: string
  /** Requests written to the connection as it is now; undici opens it again if it closes before one is written. */
  #requests = 0
  #isBusy = true
  /** Its socket has failed; undici takes a reset for the close that ends a body without other framing. */
  hasFailed = false
  /** Taken out of the pool for good. */
  isRetired = false

  constructor(pool: UpstreamPool, connector: UpstreamConnector, connectTimeoutMs: number) {
    this.#pool = pool
    const { scheme, host, port } = pool.address
    // undici would take it from each request's Host, and reconnect whenever that changes. What is
    // verified is the connector's business.
    this.#servername = isIP(host) === 0 ? host : 'address.invalid'
    this.#client = new Client(`${scheme}://${isIP(host) === 6 ? `[${host}]` : host}:${port}`, {
      pipelining: 1,
      allowH2: false,
      keepAliveTimeout: IDLE_TIMEOUT_MS,
      keepAliveMaxTimeout: MAX_IDLE_TIMEOUT_MS,
      maxHeaderSize: MAX_RESPONSE_HEADER_BYTES,
      connect: (_options, callback) => {
        connector.connect(connectTimeoutMs, (error, socket) => {
          if (socket === null) {
            callback(error ?? new TypeError('no socket'), null)
            return
          }
          this.hasFailed = false
          // Before undici's own.
          socket.once('error', () => {
            this.hasFailed = true
          })
          callback(null, socket)
        })
      },
    })
    this.#client.on('connect', () => {
      this.#requests = 0
    })
    const onGone = (): void => {
      if (!this.#isBusy) this.retire()
    }
    this.#client.on('disconnect', onGone).on('connectionError', onGone)
  }

  /** `handler` hears of the end exactly once: onResponseEnd or onResponseError. */
  dispatch(options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): void {
    this.#isBusy = true
    const pinned: Dispatcher.DispatchOptions & { servername: string } = {
      ...options,
      servername: this.#servername,
    }
    this.#client.dispatch(pinned, handler)
  }

  /** To be called when the request is being written. @returns whether the connection has carried one before */
  beginRequest(): boolean {
    this.#requests += 1
    return this.#requests > 1
  }

  /** The exchange is complete: the connection can have the next one. */
  release(): void {
    this.#isBusy = false
    this.#pool.released(this)
  }

  /** The exchange has failed: the connection is of no more use. */
  fail(): void {
    this.retire()
    this.#pool.released(this)
  }

  retire(): void {
    if (this.isRetired) return
    this.isRetired = true
    this.#pool.retired(this)
    // Not from within undici's own callback.
    queueMicrotask(() => void this.#client.destroy())
  }
}
