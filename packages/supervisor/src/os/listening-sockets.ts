// Lists the listening sockets of this machine and finds the process that holds a TCP port, from /proc.
import { readFile, readdir, readlink } from 'node:fs/promises'
import { endianness } from 'node:os'
import { basename } from 'node:path'
import { parseIpAddress } from '@reverse-proxy/shared/ip-address'

export interface ListeningAddress {
  /** RFC 5952; an IPv4-mapped address as IPv4. */
  readonly address: string
  readonly port: number
}

/** TCP_LISTEN in /proc/net/tcp. */
const LISTEN = '0A'

/** Maps `socket:[inode]`, the link text in /proc/PID/fd, to the address. Empty without /proc. */
export async function readListeningSockets(): Promise<ReadonlyMap<string, ListeningAddress>> {
  const tables = ['/proc/self/net/tcp', '/proc/self/net/tcp6']
  const texts = await Promise.all(tables.map(async (path) => await readFile(path, 'utf8').catch(() => '')))
  return new Map(texts.flatMap((text) => [...parseListening(text)]))
}

/** The text of /proc/net/tcp or tcp6 (proc(5)). */
function parseListening(text: string): Map<string, ListeningAddress> {
  const listening = new Map<string, ListeningAddress>()
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

/** `nginx (pid 1234)`; undefined if it cannot be determined (another user's process, not Linux). */
export async function findPortHolder(address: string, port: number): Promise<string | undefined> {
  for await (const { pid, name } of portHolders(port, address)) return `${name} (pid ${pid})`
  return undefined
}

/** Every process that holds the port, at `address` or at any address, as far as /proc shows them. */
export async function* portHolders(
  port: number,
  address?: string,
): AsyncGenerator<{ readonly pid: number; readonly name: string }> {
  const listening = await readListeningSockets()
  const links = new Set<string>()
  for (const [link, held] of listening) {
    if (held.port === port && (address === undefined || excludes(held.address, address))) links.add(link)
  }
  if (links.size === 0) return

  const pids = (await readdir('/proc').catch(() => [])).filter((name) => /^\d+$/u.test(name))
  for (const pid of pids) {
    const descriptors = await readdir(`/proc/${pid}/fd`).catch(() => [])
    for (const descriptor of descriptors) {
      const link = await readlink(`/proc/${pid}/fd/${descriptor}`).catch(() => '')
      if (!links.has(link)) continue
      yield { pid: Number(pid), name: await nameOf(pid) }
      break
    }
  }
}

/** True if a socket bound to `held` prevents a bind to `wanted`; both RFC 5952. */
function excludes(held: string, wanted: string): boolean {
  // A socket at `::` may accept IPv4 as well; /proc does not show that.
  if (held === wanted || held === '::') return true
  const isSameFamily = held.includes(':') === wanted.includes(':')
  return isSameFamily && [held, wanted].some((one) => one === '0.0.0.0' || one === '::')
}

/** The name of a process; for a program run by Node, `node` and its main file. */
async function nameOf(pid: string): Promise<string> {
  const [comm, commandLine] = await Promise.all([
    readFile(`/proc/${pid}/comm`, 'utf8').catch(() => '?'),
    readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => ''),
  ])
  const [executable = '', ...args] = commandLine.split('\0')
  const script = args.find((arg) => /\.[cm]?[jt]s$/u.test(arg))
  const isNode = basename(executable) === 'node' && script !== undefined
  // The process chooses these bytes; they may be hostile.
  return (isNode ? `node ${script}` : comm.trim()).replaceAll(/[^ -~]/gu, '?')
}
