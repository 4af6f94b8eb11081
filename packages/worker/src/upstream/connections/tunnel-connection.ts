// A connection to a peer that one tunnel has to itself: opened for its handshake, never used again, counted by the pool
// like every other until its socket is closed.
import type { Socket } from 'node:net'
import type { Connected, UpstreamConnector } from './connector.ts'

export interface TunnelOwner {
  /** The head of the response to its handshake has come. */
  onAnswered(connection: TunnelConnection): void
  /** It is gone for good. Called once. */
  onGone(connection: TunnelConnection): void
}

export class TunnelConnection {
  /** Kept by the owner: its handshake waits for a response head. */
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

  /** Calls back as the connector does, or never if it is destroyed meanwhile. Once. */
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

  /** The head of the response has come. */
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
