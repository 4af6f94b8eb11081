// A connection to a peer for one tunnel alone. It is opened for the handshake and never used again; the pool counts it
// like any other until its socket is closed.
import type { Socket } from 'node:net'
import type { Connected, UpstreamConnector } from './connector.ts'

export interface TunnelOwner {
  /** The head of the response to its handshake has arrived. */
  onAnswered(connection: TunnelConnection): void
  /** The connection has closed. Called once. */
  onGone(connection: TunnelConnection): void
}

export class TunnelConnection {
  /** Set by the owner: its handshake waits for a response head. */
  awaitsHead = false
  readonly #owner: TunnelOwner
  readonly #connector: UpstreamConnector
  readonly #connectTimeoutMs: number
  #socket: Socket | undefined
  #isGone = false

  constructor(owner: TunnelOwner, connector: UpstreamConnector, connectTimeoutMs: number) {
    this.#owner = owner
    this.#connector = connector
    this.#connectTimeoutMs = connectTimeoutMs
  }

  /** Call it once. Calls back like the connector, or never if it is destroyed meanwhile. */
  connect(callback: Connected): void {
    this.#connector.connect(this.#connectTimeoutMs, (error, socket) => {
      if (this.#isGone) {
        socket?.destroy()
      } else if (socket === null) {
        this.destroy()
        callback(error, null)
      } else {
        this.#socket = socket
        socket.once('close', () => this.destroy())
        callback(null, socket)
      }
    })
  }

  /** Call when the head of the response has arrived. */
  answered(): void {
    if (this.awaitsHead && !this.#isGone) this.#owner.onAnswered(this)
  }

  /** Idempotent. */
  destroy(): void {
    if (this.#isGone) return
    this.#isGone = true
    this.#socket?.destroy()
    this.#owner.onGone(this)
  }
}
