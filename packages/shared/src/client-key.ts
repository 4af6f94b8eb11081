// The key by which limits count a client: an IPv4 address, or the /64 of an IPv6 address, because one IPv6 customer
// owns at least that many addresses. Pure.
import { ipv6Groups, parseIpAddress } from './ip-address.ts'

const PREFIX_GROUPS = 4

/** `address` as the kernel prints it. An IPv4-mapped IPv6 address becomes IPv4; every other address is unchanged. */
export function foldMappedAddress(address: string): string {
  if (!address.includes(':')) return address
  const parsed = parseIpAddress(address)
  return parsed?.family === 4 ? parsed.text : address
}

/** `203.0.113.5`, or `2001:db8:0:1::/64`. Ignores the zone of a link-local address. */
export function clientKey(address: string): string {
  const folded = foldMappedAddress(address)
  const groups = folded.includes(':') ? ipv6Groups(folded.replace(/%.*/u, '')) : undefined
  if (groups === undefined) return folded
  const prefix = groups.slice(0, PREFIX_GROUPS).map((group) => group.toString(16))
  return `${prefix.join(':')}::/64`
}
