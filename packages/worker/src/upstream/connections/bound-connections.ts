// The idle upstream connections of one pool that belong to one client connection each. NTLM and Negotiate authenticate
// the connection (RFC 4559 6): whatever is sent on it afterwards is the user's. So nobody else may have it, and the
// client must find it again for the next step of its handshake.
import type { Socket } from 'node:net'
import type { ClientConnection } from '../../connection/client-connection.ts'
import type { UpstreamConnection } from './connection.ts'

/** Idle ones of one client connection: as many as a browser opens to a host over HTTP/1.1. */
const MAX_IDLE_PER_CLIENT = 6

interface Kept {
  /** The one used last comes last. */
  readonly idle: UpstreamConnection[]
  readonly stopWatching: () => void
}

export class BoundConnections {
  readonly #byClient = new Map<ClientConnection, Kept>()
  #idleCount = 0

  get idleCount(): number {
    return this.#idleCount
  }

  /** @param connection is bound and idle; it goes at once if its client has gone */
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
   * The idle connection on which the client's next request belongs, which is idle no more.
   * @param authenticates the request is a step of a handshake, and nothing else is sent between two steps
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

  /** One to close when its room is needed; a handshake that is under way only if there is nothing else. */
  expendable(): UpstreamConnection | undefined {
    let last: UpstreamConnection | undefined
    for (const { idle } of this.#byClient.values()) {
      last = expendableOf(idle)
      if (last !== undefined && !isUnderway(last)) break
    }
    return last
  }

  /** Without effect on one that is not kept. */
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

/** Backwards: each takes itself out of the list. */
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
 * One listener a socket, however many pools have connections of its client.
 * @returns call it when the callback is not wanted any more
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
