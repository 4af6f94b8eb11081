// Sockets that systemd has bound for us: sd_listen_fds(3). Each is told by its own address, as the kernel
// has it, and matched to a listener by that; what a worker does with it is the worker's.
import { readlink } from 'node:fs/promises'
import type { Config } from '@reverse-proxy/shared/config/config'
import { ProxyError } from '@reverse-proxy/shared/errors'
import type { InheritedSocket } from '@reverse-proxy/shared/ipc/messages'
import { readListeningSockets } from '../os/listening-sockets.ts'

/** SD_LISTEN_FDS_START. */
const FIRST_FD = 3

/** How many sockets we have been given; takes LISTEN_* out of `env`, which is not meant for the workers. */
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
        throw new ProxyError('BIND', `LISTEN_FDS: descriptor ${fd} is no listening TCP socket (${link})`, {
          hint: 'the .socket unit should have ListenStream=ADDRESS:PORT lines only',
        })
      }
      return { fd, ...where }
    }),
  )
}

/** Sockets that no listener of `config` wants: they would queue clients that nobody ever answers. */
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
