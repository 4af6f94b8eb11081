// How the runtime's HTTP client, which http-proxy's upgrade pass uses, reaches an upstream: by our
// connector, so that timeouts and verification are the same as for every other request.
import { Agent, type AgentOptions, type ClientRequestArgs } from 'node:http'
import type { Duplex } from 'node:stream'
import type { UpstreamConnector } from './upstream-connector.ts'

export class UpgradeAgent extends Agent {
  readonly #connector: UpstreamConnector
  readonly #connectTimeoutMs: () => number

  constructor(connector: UpstreamConnector, connectTimeoutMs: () => number, options: AgentOptions = {}) {
    super({ ...options, keepAlive: false })
    this.#connector = connector
    this.#connectTimeoutMs = connectTimeoutMs
  }

  override createConnection(
    _options: ClientRequestArgs,
    // The declared type wants a stream also beside an error; the runtime does not.
    callback: (error: Error | null, stream?: Duplex | null) => void,
  ): undefined {
    this.#connector.connect(this.#connectTimeoutMs(), callback)
  }
}
