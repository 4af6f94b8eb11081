// Which of systemd's sockets may still be handed to a worker. node:cluster closes ours when the last worker that
// listened there is gone; its descriptor may be another file's after that.
import type { Config } from '@reverse-proxy/shared/config/config'
import type { InheritedSocket } from '@reverse-proxy/shared/ipc/messages'
import { unclaimedSockets } from './listen-fds.ts'

export class InheritedSockets {
  #current: readonly InheritedSocket[]

  constructor(sockets: readonly InheritedSocket[]) {
    this.#current = sockets
  }

  get current(): readonly InheritedSocket[] {
    return this.#current
  }

  /**
   * Workers listen for `next` instead of `previous` from now on: gives up every socket that only `previous` had a
   * use for. Returns what an operator should know of it, and of those that nobody has a use for.
   */
  change(previous: Config, next: Config): string[] {
    const idleBefore = unclaimedSockets(previous, this.#current)
    const idle = unclaimedSockets(next, this.#current)
    const lost = new Set(idle.filter((socket) => !idleBefore.includes(socket)))
    this.#current = this.#current.filter((socket) => !lost.has(socket))
    return idle.map((socket) => {
      const what = `no listener is configured for the socket of systemd on ${socket.address} port ${socket.port}`
      return lost.has(socket) ? `${what} any more: restart the service to take this socket over again` : what
    })
  }
}
