// The first moments of a connection, on either port of a listener: whom it comes from, which a PROXY protocol header
// may say, whether it is banned, and whether there is room for it. What is not served from here on has been closed and
// counted.
import type { Socket } from 'node:net'
import { clientKey, foldMappedAddress } from '@reverse-proxy/shared/client-key'
import type { Log } from '@reverse-proxy/shared/log-fields'
import type { Bans } from '../access/bans.ts'
import type { TrustedProxies } from '../access/trusted-proxies.ts'
import type { ConnectionLimits } from '../connection/connection-limits.ts'
import type { ConnectionLimitLog } from '../connection/connection-limit-log.ts'
import { nowMs } from '../node/timers.ts'
import type { EventCounter } from '../observability/metrics.ts'
import { readProxyHeader } from './read-proxy-header.ts'

export interface Arrival {
  /** IPv4, or IPv6 without brackets. */
  readonly clientIp: string
  /** Monotonic. */
  readonly acceptedMs: number
}

export interface ArrivalSettings {
  /** Undefined: no proxy in front is trusted. */
  readonly proxies: TrustedProxies | undefined
  /** Every connection begins with a header, and only trusted proxies may connect. */
  readonly proxyProtocol: boolean
  /** Time for the header to be complete. */
  readonly headerTimeoutMs: number
}

export interface ArrivalDeps {
  /** Shared by all listeners of the worker. */
  readonly connections: ConnectionLimits
  readonly connectionLimitLog: ConnectionLimitLog
  /** Shared by all listeners of the worker. */
  readonly bans: Pick<Bans, 'isBanned'>
  readonly log: Log
  readonly metrics: EventCounter
}

export class Arrivals {
  readonly #deps: ArrivalDeps
  /** Connections whose header is being read. */
  #pending = 0
  #settings: ArrivalSettings

  constructor(settings: ArrivalSettings, deps: ArrivalDeps) {
    this.#settings = settings
    this.#deps = deps
  }

  /** Connections that are not served yet, but may be. */
  get size(): number {
    return this.#pending
  }

  /** Applies to the next connection. */
  configure(settings: ArrivalSettings): void {
    this.#settings = settings
  }

  /**
   * Call with the socket of a 'connection' event of a net.Server, before anything else uses it.
   * @param serve called when the connection is admitted; the client's own bytes are still in the socket
   */
  accept(socket: Socket, serve: (arrival: Arrival) => void): void {
    // An error also closes the connection, and 'close' is the event that the code acts on.
    socket.on('error', ignore)
    const { remoteAddress } = socket
    if (remoteAddress === undefined) {
      socket.destroy() // the client was gone before we looked
      return
    }
    const acceptedMs = nowMs()
    const peerIp = foldMappedAddress(remoteAddress)
    const { proxies, proxyProtocol, headerTimeoutMs } = this.#settings
    const isProxy = proxies?.has(peerIp) === true
    if (!proxyProtocol) {
      // A trusted proxy has connections of many clients.
      if (this.#admit(socket, peerIp, isProxy)) serve({ clientIp: peerIp, acceptedMs })
      return
    }
    if (!isProxy) {
      this.#refuse(socket, peerIp, 'not a trusted proxy')
      return
    }
    this.#pending += 1
    readProxyHeader(socket, headerTimeoutMs, (outcome) => {
      this.#pending -= 1
      if (outcome.kind === 'gone') socket.destroy()
      else if (outcome.kind === 'fault') this.#refuse(socket, peerIp, outcome.fault)
      else {
        const clientIp = outcome.clientIp ?? peerIp
        if (this.#admit(socket, clientIp, outcome.clientIp === undefined)) serve({ clientIp, acceptedMs })
      }
    })
  }

  #admit(socket: Socket, clientIp: string, isProxy: boolean): boolean {
    const { bans, connections, connectionLimitLog, metrics } = this.#deps
    const client = clientKey(clientIp)
    if (!isProxy && bans.isBanned({ ip: clientIp, key: client })) {
      metrics.count('connection_refused', 'banned')
      socket.destroy()
      return false
    }
    const counted = isProxy ? undefined : client
    const refusal = connections.admit(counted)
    if (refusal !== undefined) {
      connectionLimitLog.add(client, clientIp, refusal)
      socket.destroy()
      return false
    }
    socket.once('close', () => connections.release(counted))
    return true
  }

  #refuse(socket: Socket, peerIp: string, error: string): void {
    this.#deps.metrics.count('client_error', 'proxy_protocol')
    this.#deps.log.info('CLIENT_ERROR', { client_ip: peerIp, error: `PROXY protocol: ${error}` })
    socket.destroy()
  }
}

function ignore(): void {}
