// Finds the client of a request that came through proxies which the operator trusts. Pure.
import { parseIpAddress } from '@reverse-proxy/shared/ip-address'

const PORT = /^\d{1,5}$/u

/**
 * Returns the right-most address of X-Forwarded-For that is not a trusted proxy's. Each proxy appends the address of
 * its peer, so the client may have made up everything left of that address. If all are trusted, returns the left-most
 * one. An element that is no address ends the search at its right neighbour, which a trusted proxy has written.
 *
 * @param peerIp the trusted proxy that the connection comes from
 * @param chain X-Forwarded-For, several field lines as one; '' if there is none
 */
export function forwardedClient(peerIp: string, chain: string, isTrusted: (ip: string) => boolean): string {
  let client = peerIp
  for (const element of chain.split(',').toReversed()) {
    // RFC 9110 5.6.1.2: empty elements are ignored.
    if (element.trim() === '') continue
    const ip = parseForwardedAddress(element)
    if (ip === undefined) return client
    client = ip
    if (!isTrusted(ip)) return client
  }
  return client
}

/** An address as proxies write it: plain, or with a port, IPv6 then in brackets. Undefined when it is none. */
export function parseForwardedAddress(text: string): string | undefined {
  const trimmed = text.trim()
  const end = trimmed.indexOf(']')
  if (trimmed.startsWith('[') && end !== -1) {
    const ip = trimmed.slice(1, end)
    return hasPortOrNothing(trimmed.slice(end + 1)) && ip.includes(':') ? addressOf(ip) : undefined
  }
  const colon = trimmed.indexOf(':')
  // One colon: IPv4 with a port. More: IPv6 without.
  if (colon === -1 || trimmed.includes(':', colon + 1)) return addressOf(trimmed)
  return hasPortOrNothing(trimmed.slice(colon)) ? addressOf(trimmed.slice(0, colon)) : undefined
}

function hasPortOrNothing(rest: string): boolean {
  return rest === '' || (rest.startsWith(':') && PORT.test(rest.slice(1)))
}

/** Removes the zone, which has no meaning on another machine. */
function addressOf(text: string): string | undefined {
  const address = parseIpAddress(text)
  return address === undefined || address.text.includes('%') ? undefined : address.text
}
