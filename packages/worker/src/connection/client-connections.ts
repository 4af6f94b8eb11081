// Every client connection of one server. Drains them without failing a request. Rejected: close() of Node's server,
// which never calls back, because our servers do not listen.
import type { Socket } from 'node:net'
import { nowMs, stoodStill } from '../node/timers.ts'

/** Enough time for a client to read our GOAWAY, or the `Connection: close` of its next response. */
const NOTICE_MS = 1000
const SWEEP_INTERVAL_MS = 50
/** Time to send the last frame of a tunnel. */
const FAREWELL_MS = 200

interface LongLived {
  readonly size: number
  goAway(): void
}

/** The two steps that end an HTTP/2 session (RFC 9113 6.8). */
interface Retirable {
  /** Announces the end; new streams are still served. */
  announceEnd(): void
  /** Finishes the open streams and serves no new ones. Idempotent. */
  finish(): void
}

export class ClientConnections {
  readonly #sockets = new Set<Socket>()
  readonly #sessions = new Set<Retirable>()
  readonly #closeIdle: () => void
  readonly #tunnels: LongLived | undefined
  #drained: Promise<void> | undefined
  /** Deadline of the drain; monotonic. */
  #deadlineMs = Infinity

  /**
   * @param closeIdle closes the HTTP/1 connections that wait for a request
   * @param tunnels exchanges without an end of their own, which are notified when their time is up
   */
  constructor(closeIdle: () => void, tunnels?: LongLived) {
    this.#closeIdle = closeIdle
    this.#tunnels = tunnels
  }

  get isDraining(): boolean {
    return this.#drained !== undefined
  }

  get size(): number {
    return this.#sockets.size
  }

  /** @param socket the accepted one, below TLS, which stays the same through an upgrade */
  add(socket: Socket): void {
    this.#sockets.add(socket)
    socket.once('close', () => this.#sockets.delete(socket))
  }

  /** @param socket the session ends with it */
  addSession(session: Retirable, socket: Socket): void {
    this.#sessions.add(session)
    socket.once('close', () => this.#sessions.delete(session))
    if (this.isDraining) retireSession(session)
  }

  /**
   * Has two phases. At once: sends GOAWAY, and `Connection: close` with every further response. A second later: closes
   * idle connections, and each one that becomes idle. Resolves when all are closed, tunnels included. After `timeoutMs`
   * cuts the rest, tunnels after a close frame to their clients. Time in which this process stood still does not count.
   * A further call can shorten the time, never lengthen it.
   * @param mayStillAdd true while connections are on their way here: does not resolve then
   */
  drain(timeoutMs: number, mayStillAdd: () => boolean = () => false): Promise<void> {
    this.#deadlineMs = Math.min(this.#deadlineMs, nowMs() + timeoutMs)
    this.#drained ??= new Promise((resolve) => this.#startDrain(mayStillAdd, resolve))
    return this.#drained
  }

  #startDrain(mayStillAdd: () => boolean, resolve: () => void): void {
    for (const session of this.#sessions) retireSession(session)
    let sweptMs = nowMs()
    let noticedMs = sweptMs + NOTICE_MS
    let cutMs = Infinity
    const sweep = setInterval(() => {
      const atMs = nowMs()
      const sinceMs = atMs - sweptMs
      sweptMs = atMs
      if (stoodStill(sinceMs)) {
        // Reads first what has arrived meanwhile.
        noticedMs += sinceMs
        this.#deadlineMs += sinceMs
        return
      }
      if (atMs >= this.#deadlineMs && cutMs === Infinity) cutMs = atMs + this.#endLingering()
      if (atMs >= cutMs) this.#cut()
      else if (atMs >= noticedMs) this.#closeIdle()
      if (this.#sockets.size > 0 || mayStillAdd()) return
      clearInterval(sweep)
      resolve()
    }, SWEEP_INTERVAL_MS)
  }

  #cut(): void {
    for (const socket of this.#sockets) socket.destroy()
  }

  /** @returns how long that takes */
  #endLingering(): number {
    if (this.#tunnels === undefined || this.#tunnels.size === 0) return 0
    this.#tunnels.goAway()
    return FAREWELL_MS
  }
}

/** Ends an HTTP/2 session in the same two steps, so that no request that crosses our GOAWAY is lost. */
export function retireSession(session: Retirable): void {
  session.announceEnd()
  setTimeout(() => session.finish(), NOTICE_MS).unref()
}
