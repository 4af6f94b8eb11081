// Finds the client of a request that came through proxies which the operator trusts. Forwarding fields of other senders
// are ignored.
import { clientKey } from '@reverse-proxy/shared/client-key'
import type { ClientSettings } from '@reverse-proxy/shared/config/config'
import type { Client } from '../connection/client-connection.ts'
import { forwardedClient, parseForwardedAddress } from '../message/forwarded-client.ts'
import { lowerFieldName } from '../message/field-names.ts'
import { usableRequestId } from '../message/request-id.ts'
import { IpNetworks } from './ip-networks.ts'

export class TrustedProxies {
  readonly #networks: IpNetworks
  readonly #clientIpHeader: string | undefined

  constructor({ trustedProxies, clientIpHeader }: ClientSettings) {
    this.#networks = new IpNetworks(trustedProxies)
    this.#clientIpHeader = clientIpHeader
  }

  /** @param ip IPv4, or IPv6 without brackets */
  has(ip: string): boolean {
    return this.#networks.has(ip)
  }

  /**
   * The client that a request of a trusted proxy is for. Without a usable field it is the proxy itself.
   * @param proxy the peer of the connection
   */
  clientOf(proxy: Client, rawHeaders: readonly string[]): Client {
    let chain: string | undefined
    let own: string | undefined
    let scheme = proxy.scheme
    let host: string | undefined
    const requestIds: string[] = []
    for (let i = 0; i < rawHeaders.length; i += 2) {
      const name = lowerFieldName(rawHeaders[i]!)
      const value = rawHeaders[i + 1]!
      if (name === 'x-forwarded-for') chain = chain === undefined ? value : `${chain}, ${value}`
      else if (name === 'x-forwarded-proto') scheme = schemeOf(value) ?? scheme
      else if (name === 'x-forwarded-host') host = value
      else if (name === 'x-request-id') requestIds.push(value)
      if (name === this.#clientIpHeader) own = value
    }
    const ip =
      this.#clientIpHeader === undefined
        ? forwardedClient(proxy.ip, chain ?? '', (each) => this.has(each))
        : (parseForwardedAddress(own ?? '') ?? proxy.ip)
    const hops = chain === undefined || chain === '' ? proxy.ip : `${chain}, ${proxy.ip}`
    const forwarded = { for: hops, host, requestId: usableRequestId(requestIds) }
    return { ip, key: clientKey(ip), scheme, forwarded }
  }
}

function schemeOf(value: string): Client['scheme'] | undefined {
  const lower = value.toLowerCase()
  return lower === 'http' || lower === 'https' ? lower : undefined
}
