// A set of IP networks, as access lists and trusted proxies are configured.
import { BlockList } from 'node:net'
import { expandPrivate, parseIpNetwork } from '@reverse-proxy/shared/ip-networks'

/** A set of networks. Looks up an address in constant memory and about a microsecond. */
export class IpNetworks {
  readonly #list = new BlockList()

  /** @param texts networks that parseIpNetwork() accepts, or `private` */
  constructor(texts: readonly string[]) {
    for (const text of expandPrivate(texts)) {
      const network = parseIpNetwork(text)
      if (network === undefined) throw new TypeError(`not an IP network: ${text}`)
      this.#list.addSubnet(network.address, network.prefix, familyName(network.family))
    }
  }

  /** @param ip IPv4, or IPv6 without brackets; not an IPv4-mapped address. Its zone is ignored. */
  has(ip: string): boolean {
    const percent = ip.indexOf('%')
    const address = percent === -1 ? ip : ip.slice(0, percent)
    return this.#list.check(address, familyName(address.includes(':') ? 6 : 4))
  }
}

function familyName(family: 4 | 6): 'ipv4' | 'ipv6' {
  return family === 4 ? 'ipv4' : 'ipv6'
}
