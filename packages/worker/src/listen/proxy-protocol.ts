// The PROXY protocol, versions 1 and 2: the header that a load balancer sends before a client's own bytes. Pure.
// Source: https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt
import { parseIpAddress } from '@reverse-proxy/shared/ip-address'

export type ProxyHeader =
  /** More bytes are needed. */
  | { readonly status: 'need-more' }
  | { readonly status: 'bad' }
  | {
      readonly status: 'complete'
      /** Length of the header: the client's own bytes follow. */
      readonly bytes: number
      /** The client's address. Undefined: the connection is the balancer's own, or the balancer does not know it. */
      readonly clientIp: string | undefined
    }

const NEED_MORE: ProxyHeader = { status: 'need-more' }
const BAD: ProxyHeader = { status: 'bad' }

/** Section 2.1: the longest line, with its CRLF. */
const MAX_V1_BYTES = 107
const V1_START = Buffer.from('PROXY ')
const PORT = /^(?:0|[1-9]\d{0,4})$/u
const MAX_PORT = 65_535

const V2_SIGNATURE = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1')
const V2_FIXED_BYTES = 16
/** Addresses need 36 bytes (Unix sockets 216); the rest are TLVs, and no sender has so many. */
const MAX_V2_BYTES = V2_FIXED_BYTES + 4_096
const VERSION_2 = 0x2
const LOCAL = 0x0
const PROXY = 0x1
const AF_UNSPEC = 0x0
const AF_INET = 0x1
const AF_INET6 = 0x2
const AF_UNIX = 0x3
const STREAM = 0x1
const INET_BYTES = 12
const INET6_BYTES = 36
const UNIX_BYTES = 216

/** @param bytes all bytes of the connection so far */
export function parseProxyHeader(bytes: Buffer): ProxyHeader {
  if (startsLike(bytes, V1_START)) return bytes.length < V1_START.length ? NEED_MORE : parseVersion1(bytes)
  if (startsLike(bytes, V2_SIGNATURE)) return bytes.length < V2_FIXED_BYTES ? NEED_MORE : parseVersion2(bytes)
  return BAD
}

/** `PROXY TCP4 192.0.2.1 203.0.113.7 56324 443` */
function parseVersion1(bytes: Buffer): ProxyHeader {
  const end = bytes.subarray(0, MAX_V1_BYTES).indexOf('\r\n')
  if (end === -1) return bytes.length < MAX_V1_BYTES ? NEED_MORE : BAD
  const [, protocol, source = '', destination = '', ...ports] = bytes.toString('latin1', 0, end).split(' ')
  const complete = { status: 'complete', bytes: end + 2 } as const
  // Section 2.1: the text after UNKNOWN is ignored.
  if (protocol === 'UNKNOWN') return { ...complete, clientIp: undefined }
  if (protocol !== 'TCP4' && protocol !== 'TCP6') return BAD
  if (ports.length !== 2 || !ports.every((port) => PORT.test(port) && Number(port) <= MAX_PORT)) return BAD
  const isRightFamily = (address: string): boolean => address.includes(':') === (protocol === 'TCP6')
  const client = parseIpAddress(source)
  if (client === undefined || parseIpAddress(destination) === undefined) return BAD
  if (!isRightFamily(source) || !isRightFamily(destination) || client.text.includes('%')) return BAD
  return { ...complete, clientIp: client.text }
}

function parseVersion2(bytes: Buffer): ProxyHeader {
  const command = bytes.readUInt8(12)
  const family = bytes.readUInt8(13)
  const length = bytes.readUInt16BE(14)
  const total = V2_FIXED_BYTES + length
  if (command >> 4 !== VERSION_2 || total > MAX_V2_BYTES) return BAD
  const isLocal = (command & 0xf) === LOCAL
  if (!isLocal && (command & 0xf) !== PROXY) return BAD
  if (bytes.length < total) return NEED_MORE
  const complete = { status: 'complete', bytes: total } as const
  // Section 2.2: a LOCAL connection is the balancer's own, such as a health check; its addresses are ignored.
  if (isLocal) return { ...complete, clientIp: undefined }
  const transport = family & 0xf
  switch (family >> 4) {
    case AF_UNSPEC:
      return { ...complete, clientIp: undefined }
    case AF_INET:
      if (transport !== STREAM || length < INET_BYTES) return BAD
      return { ...complete, clientIp: [...bytes.subarray(16, 20)].join('.') }
    case AF_INET6:
      if (transport !== STREAM || length < INET6_BYTES) return BAD
      return { ...complete, clientIp: ipv6Text(bytes.subarray(16, 32)) }
    case AF_UNIX:
      return transport === STREAM && length >= UNIX_BYTES ? { ...complete, clientIp: undefined } : BAD
    default:
      return BAD
  }
}

/** Whether `bytes` begins with `start`, as far as it goes. */
function startsLike(bytes: Buffer, start: Buffer): boolean {
  const length = Math.min(bytes.length, start.length)
  return bytes.compare(start, 0, length, 0, length) === 0
}

function ipv6Text(bytes: Buffer): string {
  const groups = Array.from({ length: 8 }, (_, index) => bytes.readUInt16BE(index * 2).toString(16))
  const text = groups.join(':')
  return parseIpAddress(text)?.text ?? text
}
