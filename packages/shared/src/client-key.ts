// The key by which limits count a client: an IPv4 address, or the /64 of an IPv6 address, because one IPv6 customer
// owns at least that many addresses. Pure.

const GROUPS = 8
const PREFIX_GROUPS = 4

/** `address` as the kernel prints it; an IPv4-mapped IPv6 address becomes plain IPv4, all else stays as it is. */
export function foldMappedAddress(address: string): string {
  if (!address.includes(':')) return address
  const groups = parseGroups(address)
  const mapped = groups.slice(0, 5).every((group) => group === 0) && groups[5] === 0xffff
  return mapped ? groups.slice(6).flatMap(bytesOf).join('.') : address
}

/** `203.0.113.5`, or `2001:db8:0:1::/64`. The zone of a link-local address counts for nothing. */
export function clientKey(address: string): string {
  const folded = foldMappedAddress(address)
  if (!folded.includes(':')) return folded
  const prefix = parseGroups(folded).slice(0, PREFIX_GROUPS)
  return `${prefix.map((group) => group.toString(16)).join(':')}::/64`
}

// RFC 4291 2.2, all three forms. What it is given comes from the kernel, so it is well-formed.
function parseGroups(address: string): number[] {
  const [front = [], back = []] = withoutZone(address).split('::').map(groupsOf)
  const zeros = Array.from({ length: GROUPS - front.length - back.length }, () => 0)
  return [...front, ...zeros, ...back]
}

function groupsOf(part: string): number[] {
  return part === '' ? [] : part.split(':').flatMap(groupOf)
}

function groupOf(text: string): number[] {
  if (!text.includes('.')) return [Number.parseInt(text, 16)]
  const [a = 0, b = 0, c = 0, d = 0] = text.split('.').map(Number)
  return [a * 256 + b, c * 256 + d]
}

function bytesOf(group: number): number[] {
  return [group >> 8, group & 0xff]
}

function withoutZone(address: string): string {
  const percent = address.indexOf('%')
  return percent < 0 ? address : address.slice(0, percent)
}
