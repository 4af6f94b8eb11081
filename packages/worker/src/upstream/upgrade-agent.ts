// How the runtime's HTTP client, which http-proxy's upgrade pass uses, reaches an upstream: by our connector, so that
// timeouts and verification are the same as for every other request. One agent a handshake: it can be cancelled.
import { Agent, type ClientRequestArgs } from 'node:http'
import type { Duplex } from 'node:stream'
import { ProxyError } from '@reverse-proxy/shared/errors'
import type { UpstreamConnector } from './connector.ts'

/** Bounds the connections of a site. */
export interface ConnectionRoom {
  /** Calls `onRoom` once there is room, which is taken then, or `onAcquireFailed`. */
  reserve(job: RoomJob): void
  /** The room that `onRoom` has given is not needed any more. */
  release(): void
  /** A job that is no longer wanted; without effect if it is not waiting. */
  cancel(job: RoomJob): void
}

export interface RoomJob {
  onRoom(): void
  onAcquireFailed(error: ProxyError): void
}

export class UpgradeAgent extends Agent {
  readonly #connector: UpstreamConnector
  readonly #room: ConnectionRoom
  readonly #connectTimeoutMs: number
  #waiting: RoomJob | undefined

  constructor(connector: UpstreamConnector, room: ConnectionRoom, connectTimeoutMs: number) {
    super({ keepAlive: false })
    this.#connector = connector
    this.#room = room
    this.#connectTimeoutMs = connectTimeoutMs
  }

  override createConnection(
    _options: ClientRequestArgs,
    // The declared type wants a stream also beside an error; the runtime does not.
    callback: (error: Error | null, stream?: Duplex | null) => void,
  ): undefined {
    const job: RoomJob = {
      onRoom: () => {
        this.#waiting = undefined
        this.#connector.connect(this.#connectTimeoutMs, (error, socket) => {
          if (socket === null) this.#room.release()
          else socket.once('close', () => this.#room.release())
          callback(error, socket)
        })
      },
      onAcquireFailed: (error) => {
        this.#waiting = undefined
        callback(error)
      },
    }
    this.#waiting = job
    this.#room.reserve(job)
  }

  /** The handshake is given up: if it waits for room, it does so no more. Its request ends with an error. */
  cancel(): void {
    const job = this.#waiting
    if (job === undefined) return
    this.#room.cancel(job)
    job.onAcquireFailed(new ProxyError('CLIENT_GONE', 'the handshake has been given up'))
  }
}
