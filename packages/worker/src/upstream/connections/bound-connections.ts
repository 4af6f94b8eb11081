// The idle upstream connections of one pool that each belong to one client connection. NTLM and Negotiate authenticate a
// connection (RFC 4559 6): the upstream takes every later request on it for that user's. So no other client may use it,
// and its own client must get it again for the next step of the handshake.
import type { Socket } from 'node:net'
import type { ClientConnection } from '../../connection/client-connection.ts'
import type { UpstreamConnection } from './connection.ts'

/** Limit on idle ones of one client connection: as many as a browser opens to a host over HTTP/1.1. */
const MAX_IDLE_PER_CLIENT = 6

interface Kept {
  /** In the order of their last use. */
  readonly idle: UpstreamConnection[]
  readonly stopWatching: () => void
}

export class BoundConnections {
  readonly #byClient = new Map<ClientConnection, Kept>()
  #idleCount = 0

  get idleCount(): number {
    return this.#idleCount
  }

  /** @param connection bound and idle; closed at once if its client has gone */
  keep(connection: UpstreamConnection, client: ClientConnection): void {
    if (client.socket.destroyed) {
      connection.destroy()
      return
    }
    let kept = this.#byClient.get(client)
    if (kept === undefined) {
      const stopWatching = whenClosed(client.socket, () => this.#onClientClosed(client))
      kept = { idle: [], stopWatching }
      this.#byClient.set(client, kept)
    }
    kept.idle.push(connection)
    this.#idleCount += 1
    if (kept.idle.length > MAX_IDLE_PER_CLIENT) expendableOf(kept.idle)?.destroy()
  }

  has(client: ClientConnection): boolean {
    return this.#byClient.has(client)
  }

  /**
   * Removes and returns the idle connection for the client's next request.
   * @param authenticates the request is a step of a handshake; no other request may come between two steps
   */
  take(client: ClientConnection, authenticates: boolean): UpstreamConnection | undefined {
    const idle = this.#byClient.get(client)?.idle
    if (idle === undefined) return undefined
    const found =
      (authenticates ? idle.find(isUnderway) : undefined) ??
      idle.findLast((connection) => connection.authentication === 'done') ??
      idle.findLast((connection) => connection.authentication !== 'underway')
    if (found !== undefined) this.remove(found)
    return found
  }

  /** The connection to close when its room is needed; one within a handshake only if there is no other. */
  expendable(): UpstreamConnection | undefined {
    let last: UpstreamConnection | undefined
    for (const { idle } of this.#byClient.values()) {
      last = expendableOf(idle)
      if (last !== undefined && !isUnderway(last)) break
    }
    return last
  }

  /** Has no effect on one that is not kept. */
  remove(connection: UpstreamConnection): void {
    const { boundTo } = connection
    const kept = boundTo === undefined ? undefined : this.#byClient.get(boundTo)
    const at = kept?.idle.indexOf(connection) ?? -1
    if (boundTo === undefined || kept === undefined || at === -1) return
    kept.idle.splice(at, 1)
    this.#idleCount -= 1
    if (kept.idle.length > 0) return
    this.#byClient.delete(boundTo)
    kept.stopWatching()
  }

  close(): void {
    for (const { idle } of this.#byClient.values()) destroyAll(idle)
  }

  #onClientClosed(client: ClientConnection): void {
    destroyAll(this.#byClient.get(client)?.idle ?? [])
  }
}

/** Iterates backwards, because each removes itself from the list. */
function destroyAll(idle: readonly UpstreamConnection[]): void {
  for (let i = idle.length - 1; i >= 0; i--) idle[i]?.destroy()
}

function isUnderway({ authentication }: UpstreamConnection): boolean {
  return authentication === 'underway'
}

function expendableOf(idle: readonly UpstreamConnection[]): UpstreamConnection | undefined {
  return (
    idle.find(({ authentication }) => authentication === 'none') ??
    idle.find((connection) => !isUnderway(connection)) ??
    idle[0]
  )
}

const watched = new WeakMap<Socket, Set<() => void>>()

/**
 * Adds one listener to a socket, however many pools have connections of its client.
 * @returns call it to remove the callback
 */
function whenClosed(socket: Socket, callback: () => void): () => void {
  let callbacks = watched.get(socket)
  if (callbacks === undefined) {
    const all = new Set<() => void>()
    watched.set(socket, all)
    socket.once('close', () => {
      for (const each of all) each()
    })
    callbacks = all
  }
  callbacks.add(callback)
  return () => watched.get(socket)?.delete(callback)
}
