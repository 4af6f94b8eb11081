// Sockets that systemd has bound for this process: sd_listen_fds(3). Each is matched to a listener by the address that
// the kernel reports for it; workers listen on them.
import { readlink } from 'node:fs/promises'
import type { Config } from '@reverse-proxy/shared/config/config'
import { ProxyError } from '@reverse-proxy/shared/errors'
import type { InheritedSocket } from '@reverse-proxy/shared/ipc/messages'
import { readListeningSockets } from '../os/listening-sockets.ts'

/** SD_LISTEN_FDS_START. */
const FIRST_FD = 3

/** The number of sockets passed by systemd; removes LISTEN_* from `env`, which is not meant for the workers. */
export function takeListenFds(env: NodeJS.ProcessEnv): number {
  const { LISTEN_FDS: count, LISTEN_PID: pid } = env
  for (const name of ['LISTEN_FDS', 'LISTEN_PID', 'LISTEN_FDNAMES']) delete env[name]
  if (count === undefined || (pid !== undefined && pid !== String(process.pid))) return 0
  return /^\d{1,4}$/u.test(count) ? Number(count) : 0
}

/** The address of each of the first `count` sockets. Throws BIND for one that is not a listening TCP socket. */
export async function describeListenFds(count: number): Promise<readonly InheritedSocket[]> {
  if (count === 0) return []
  const addressOf = await readListeningSockets()
  return await Promise.all(
    Array.from({ length: count }, async (_, index) => {
      const fd = FIRST_FD + index
      const link = await readlink(`/proc/self/fd/${fd}`).catch(() => 'nothing')
      const where = addressOf.get(link)
      if (where === undefined) {
        throw new ProxyError('BIND', `LISTEN_FDS: descriptor ${fd} is not a listening TCP socket (${link})`, {
          hint: 'the .socket unit should have ListenStream=ADDRESS:PORT lines only',
        })
      }
      return { fd, ...where }
    }),
  )
}

/** Sockets that no listener of `config` uses: the kernel would queue clients that are never served. */
export function unclaimedSockets(
  config: Config,
  sockets: readonly InheritedSocket[],
): readonly InheritedSocket[] {
  return sockets.filter(
    ({ address, port }) =>
      !config.listeners.some(
        ({ bindAddrs, httpPort, httpsPort }) =>
          (port === httpPort || port === httpsPort) && bindAddrs.includes(address),
      ),
  )
}

/**
 * The sockets that may still be passed to a worker. node:cluster closes ours when the last worker that listens on it
 * exits; its descriptor may then belong to another file.
 */
export class InheritedSockets {
  #current: readonly InheritedSocket[]

  constructor(sockets: readonly InheritedSocket[]) {
    this.#current = sockets
  }

  get current(): readonly InheritedSocket[] {
    return this.#current
  }

  /**
   * Workers change from `previous` to `next`: gives up every socket that only `previous` used. Returns a warning for
   * the operator about each of these, and about each socket that no listener uses.
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
