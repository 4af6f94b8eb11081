// Counts open connections, in all and by client, against limits that may change at any time. Knows no sockets: the
// caller that admits a connection also releases it, once.

export interface ConnectionCaps {
  readonly connectionsPerWorker: number
  readonly connectionsPerClient: number
}

export type ConnectionLimitName = 'connections_per_worker' | 'connections_per_client' | 'open_files'

export class ConnectionLimits {
  #caps: ConnectionCaps
  #open = 0
  #isOutOfFiles = false
  readonly #openByClient = new Map<string, number>()

  constructor(caps: ConnectionCaps) {
    this.#caps = caps
  }

  /** Counts connections that are open at this moment. */
  get open(): number {
    return this.#open
  }

  /** Applies to the next connection. Open ones stay, even above the new limits. */
  configure(caps: ConnectionCaps): void {
    this.#caps = caps
  }

  /** While true no connection is admitted: descriptors that become free are for the open connections. */
  set isOutOfFiles(isOutOfFiles: boolean) {
    this.#isOutOfFiles = isOutOfFiles
  }

  /**
   * Counts one more connection of `client` (a key of shared/client-key), or says which limit forbids it.
   * Names the client's own limit first, because the client can do something about that one.
   * @param client undefined: a trusted proxy, which has connections of many clients
   */
  admit(client: string | undefined): ConnectionLimitName | undefined {
    if (this.#isOutOfFiles) return 'open_files'
    const openOfClient = client === undefined ? 0 : (this.#openByClient.get(client) ?? 0)
    if (openOfClient >= this.#caps.connectionsPerClient) return 'connections_per_client'
    if (this.#open >= this.#caps.connectionsPerWorker) return 'connections_per_worker'
    if (client !== undefined) this.#openByClient.set(client, openOfClient + 1)
    this.#open += 1
    return undefined
  }

  /** Call exactly once for each admission of `client`. */
  release(client: string | undefined): void {
    this.#open -= 1
    if (client === undefined) return
    const openOfClient = this.#openByClient.get(client) ?? 0
    if (openOfClient <= 1) this.#openByClient.delete(client)
    else this.#openByClient.set(client, openOfClient - 1)
  }
}
