// Lists the listening sockets of this machine and their addresses, from /proc.
import { readFile } from 'node:fs/promises'
import { endianness } from 'node:os'
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
