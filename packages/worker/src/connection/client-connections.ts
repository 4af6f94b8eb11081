// Every client connection of one server, and how they are brought to an end without failing a request.
// Node's own close() is of no use here: the server never listens, and its close callback never comes.
import type { Socket } from 'node:net'
import { nowMs, stoodStill } from '../node/timers.ts'

/** Long enough for a client to have read our GOAWAY, or the `Connection: close` of its next answer. */
const NOTICE_MS = 1000
const SWEEP_INTERVAL_MS = 50
/** For the last frame of a tunnel to get away. */
const FAREWELL_MS = 200

interface LongLived {
  readonly size: number
  goAway(): void
}

/** An HTTP/2 session as far as its end is concerned (RFC 9113 6.8). */
interface Retirable {
  /** Nothing is refused yet. */
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
   * @param tunnels what has no end of its own, and is told when its time is up
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

  /** @param socket the one that was accepted, below TLS: it lives through an upgrade, too */
  add(socket: Socket): void {
    this.#sockets.add(socket)
    socket.once('close', () => this.#sockets.delete(socket))
  }

  /** @param socket closes with it */
  addSession(session: Retirable, socket: Socket): void {
    this.#sessions.add(session)
    socket.once('close', () => this.#sessions.delete(session))
    if (this.isDraining) retireSession(session)
  }

  /**
   * Two phases. At once: GOAWAY, and `Connection: close` on every further answer. A second later: idle
   * connections are closed, and so is each one that becomes idle. Ends when all are gone, upgraded ones
   * included; what is left after `timeoutMs` is cut, tunnels after a last word to their clients. Time in which this
   * process stood still does not count. Called again, it may give less time, never more.
   * @param mayStillAdd while it says so, it does not end: connections are on their way here
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
        // First read what has come meanwhile.
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

/** The end of an HTTP/2 session in the same two steps, so that no request crosses our GOAWAY and is lost. */
export function retireSession(session: Retirable): void {
  session.announceEnd()
  setTimeout(() => session.finish(), NOTICE_MS).unref()
}
