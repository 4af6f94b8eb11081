// Lists of IP networks, as access rules and trusted proxies name them: `10.0.0.0/8`, `2001:db8::/32`, one address,
// or `private`. Pure.
import { ipv6Groups, parseIpAddress } from './ip-address.ts'

export interface IpNetwork {
  readonly family: 4 | 6
  /** RFC 5952, without zone. */
  readonly address: string
  /** Number of leading bits that count. */
  readonly prefix: number
}

const PREFIX = /^(?:0|[1-9]\d{0,2})$/u
const ADDRESS_BITS = { 4: 32, 6: 128 } as const

/** Loopback, RFC 1918, RFC 6598 (shared address space), link-local, RFC 4193: addresses that no stranger has. */
const PRIVATE_NETWORKS = [
  '127.0.0.0/8',
  '10.0.0.0/8',
  '172.16.0.0/12',
  '192.168.0.0/16',
  '100.64.0.0/10',
  '169.254.0.0/16',
  '::1/128',
  'fc00::/7',
  'fe80::/10',
] as const

/** The word for all of these. */
export const PRIVATE = 'private'

/**
 * The network that `text` spells, in CIDR notation (RFC 4632 3.1), or one address. Undefined when it is none, and
 * when bits after the prefix are set: `10.1.2.3/8` is more likely a slip than a network.
 */
export function parseIpNetwork(text: string): IpNetwork | undefined {
  const [addressText = '', prefixText, ...rest] = text.split('/')
  const address = parseIpAddress(addressText)
  if (address === undefined || rest.length > 0 || address.text.includes('%')) return undefined
  const bits = ADDRESS_BITS[address.family]
  if (prefixText === undefined) return { family: address.family, address: address.text, prefix: bits }
  if (!PREFIX.test(prefixText)) return undefined
  // An IPv4-mapped network is the IPv4 network.
  const isMapped = address.family === 4 && addressText.includes(':')
  const prefix = Number(prefixText) - (isMapped ? ADDRESS_BITS[6] - bits : 0)
  if (prefix < 0 || prefix > bits) return undefined
  const network = { family: address.family, address: address.text, prefix }
  return hasHostBits(network) ? undefined : network
}

/** `texts` with the word `private` replaced by the networks it stands for. */
export function expandPrivate(texts: readonly string[]): readonly string[] {
  return texts.flatMap((text) => (text === PRIVATE ? PRIVATE_NETWORKS : [text]))
}

/** True if an address differs from its network: the network of all its bits contains something else at its start. */
function hasHostBits({ family, address, prefix }: IpNetwork): boolean {
  const bytes = addressBytes(family, address)
  return bytes.some((byte, index) => {
    const kept = Math.min(8, Math.max(0, prefix - index * 8))
    return (byte & (0xff >> kept)) !== 0
  })
}

function addressBytes(family: 4 | 6, address: string): readonly number[] {
  if (family === 4) return address.split('.').map(Number)
  return (ipv6Groups(address) ?? []).flatMap((group) => [group >> 8, group & 0xff])
}
