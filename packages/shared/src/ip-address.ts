// Parses IP addresses and gives each one spelling, so that two ways to write an address compare equal.

export interface IpAddress {
  readonly family: 4 | 6
  /** In the form of RFC 5952. An IPv4-mapped IPv6 address becomes IPv4. A zone (`%eth0`) is kept. */
  readonly text: string
}

const OCTET = /^(?:0|[1-9]\d{0,2})$/u
const GROUP = /^[0-9a-f]{1,4}$/iu
const ZONE = /^[\w.-]{1,32}$/u

/** @returns undefined if `text` is not an address; brackets are not allowed */
export function parseIpAddress(text: string): IpAddress | undefined {
  if (!text.includes(':')) {
    const octets = parseOctets(text)
    return octets && { family: 4, text: octets.join('.') }
  }
  const [address = '', ...zones] = text.split('%')
  const groups = ipv6Groups(address)
  if (groups === undefined) return undefined
  if (zones.length === 0) return canonicalGroups(groups)
  const [zone = ''] = zones
  if (zones.length > 1 || !ZONE.test(zone)) return undefined
  return { family: 6, text: `${formatGroups(groups)}%${zone}` }
}

/** True for `0.0.0.0` and `::`, which stand for every address of the family. */
export function isWildcardAddress({ text }: IpAddress): boolean {
  return text === '0.0.0.0' || text === '::'
}

function parseOctets(text: string): number[] | undefined {
  const parts = text.split('.')
  if (parts.length !== 4 || !parts.every((part) => OCTET.test(part))) return undefined
  const octets = parts.map(Number)
  return octets.every((octet) => octet <= 255) ? octets : undefined
}

/** RFC 4291 2.2: eight groups, with `::` at most once for a run of zeros; the last two may be written as IPv4. */
export function ipv6Groups(text: string): number[] | undefined {
  const halves = text.split('::')
  if (halves.length > 2) return undefined
  const [head, tail] = halves.map((half, index) => parseHalf(half, index === halves.length - 1))
  if (head === undefined || (halves.length === 2 && tail === undefined)) return undefined
  if (tail === undefined) return head.length === 8 ? head : undefined
  const missing = 8 - head.length - tail.length
  return missing >= 1 ? [...head, ...Array.from({ length: missing }, () => 0), ...tail] : undefined
}

function parseHalf(half: string, isLast: boolean): number[] | undefined {
  if (half === '') return []
  const parts = half.split(':')
  const groups: number[] = []
  for (const [index, part] of parts.entries()) {
    const octets = isLast && index === parts.length - 1 ? parseOctets(part) : undefined
    if (octets !== undefined) {
      const [a = 0, b = 0, c = 0, d = 0] = octets
      groups.push(a * 256 + b, c * 256 + d)
    } else if (GROUP.test(part)) {
      groups.push(Number.parseInt(part, 16))
    } else {
      return undefined
    }
  }
  return groups
}

function canonicalGroups(groups: readonly number[]): IpAddress {
  const [, , , , , marker, high = 0, low = 0] = groups
  // RFC 4291 2.5.5.2: ::ffff:a.b.c.d reaches the same host and binds the same port as a.b.c.d.
  if (marker === 0xffff && groups.slice(0, 5).every((group) => group === 0)) {
    return { family: 4, text: [high >> 8, high & 255, low >> 8, low & 255].join('.') }
  }
  return { family: 6, text: formatGroups(groups) }
}

/** RFC 5952 4: lower case, no leading zeros, the first longest run of two or more zeros as `::`. */
function formatGroups(groups: readonly number[]): string {
  const words = groups.map((group) => group.toString(16))
  let start = 0
  let length = 0
  for (let from = 0; from < words.length; from++) {
    let to = from
    while (words[to] === '0') to++
    if (to - from > length) [start, length] = [from, to - from]
  }
  if (length < 2) return words.join(':')
  return `${words.slice(0, start).join(':')}::${words.slice(start + length).join(':')}`
}
