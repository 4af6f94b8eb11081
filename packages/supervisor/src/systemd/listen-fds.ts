// Sockets that systemd has bound for us: sd_listen_fds(3). Each is told by its own address, as the kernel
// has it, and matched to a listener by that; what a worker does with it is the worker's.
import { readFile, readlink } from 'node:fs/promises'
import { endianness } from 'node:os'
import type { Config } from '@reverse-proxy/shared/config/config'
import { ProxyError } from '@reverse-proxy/shared/errors'
import { parseIpAddress } from '@reverse-proxy/shared/ip-address'
import type { InheritedSocket } from '@reverse-proxy/shared/ipc/messages'

/** SD_LISTEN_FDS_START. */
const FIRST_FD = 3
/** TCP_LISTEN in /proc/net/tcp. */
const LISTEN = '0A'

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
  const addressOf = new Map<string, { address: string; port: number }>()
  for (const table of ['/proc/self/net/tcp', '/proc/self/net/tcp6']) {
    for (const [inode, where] of parseListening(await readFile(table, 'utf8').catch(() => '')))
      addressOf.set(inode, where)
  }
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

/** `socket:[inode]` -> where it listens, from the text of /proc/net/tcp or tcp6 (proc(5)). */
function parseListening(text: string): Map<string, { address: string; port: number }> {
  const listening = new Map<string, { address: string; port: number }>()
  for (const line of text.split('\n').slice(1)) {
    // sl local_address rem_address st tx:rx tr:tm retrnsmt uid timeout inode
    const [, local, , state, , , , , , inode] = line.trim().split(/\s+/u)
    const [address, port] = local?.split(':') ?? []
    if (state !== LISTEN || inode === undefined || address === undefined || port === undefined) continue
    listening.set(`socket:[${inode}]`, {
      address: parseAddress(address),
      port: Number.parseInt(port, 16),
    })
  }
  return listening
}

/** The kernel prints each 32-bit word of an address as a number, in the machine's own byte order. */
function parseAddress(hex: string): string {
  const bytes = Buffer.from(hex, 'hex')
  if (endianness() === 'LE') bytes.swap32()
  const text =
    bytes.length === 4
      ? bytes.join('.')
      : Array.from({ length: 8 }, (_, index) => bytes.readUInt16BE(index * 2).toString(16)).join(':')
  return parseIpAddress(text)?.text ?? text
}
