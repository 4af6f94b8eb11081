// How the runtime's HTTP client, which http-proxy's upgrade pass uses, reaches an upstream: by our
// connector, so that timeouts and verification are the same as for every other request.
import { Agent, type AgentOptions, type ClientRequestArgs } from 'node:http'
import type { Duplex } from 'node:stream'
import type { ProxyError } from '@reverse-proxy/shared/errors'
import type { UpstreamConnector } from './connector.ts'

/** Bounds the connections of a site. */
export interface ConnectionRoom {
  /** Calls `onRoom` once there is room, which is taken then, or `onAcquireFailed`. */
  reserve(job: RoomJob): void
  /** The room that `onRoom` has given is not needed any more. */
  release(): void
}

export interface RoomJob {
  onRoom(): void
  onAcquireFailed(error: ProxyError): void
}

export class UpgradeAgent extends Agent {
  readonly #connector: UpstreamConnector
  readonly #room: ConnectionRoom
  readonly #connectTimeoutMs: () => number

  constructor(
    connector: UpstreamConnector,
    room: ConnectionRoom,
    connectTimeoutMs: () => number,
    options: AgentOptions = {},
  ) {
    super({ ...options, keepAlive: false })
    this.#connector = connector
    this.#room = room
    this.#connectTimeoutMs = connectTimeoutMs
  }

  override createConnection(
    _options: ClientRequestArgs,
    // The declared type wants a stream also beside an error; the runtime does not.
    callback: (error: Error | null, stream?: Duplex | null) => void,
  ): undefined {
    this.#room.reserve({
      onRoom: () => {
        this.#connector.connect(this.#connectTimeoutMs(), (error, socket) => {
          if (socket === null) this.#room.release()
          else socket.once('close', () => this.#room.release())
          callback(error, socket)
        })
      },
      onAcquireFailed: callback,
    })
  }
}
