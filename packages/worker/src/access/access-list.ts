// The addresses that may use a site or route, and those that may not.
import type { AccessSettings } from '@reverse-proxy/shared/config/config'
import { IpNetworks } from './ip-networks.ts'

export class AccessList {
  readonly #allow: IpNetworks | undefined
  readonly #deny: IpNetworks | undefined

  constructor({ allow, deny }: AccessSettings) {
    this.#allow = allow.length === 0 ? undefined : new IpNetworks(allow)
    this.#deny = deny.length === 0 ? undefined : new IpNetworks(deny)
  }

  /** An address on both lists is refused. Without an allow list, all other addresses are admitted. */
  admits(ip: string): boolean {
    return this.#deny?.has(ip) !== true && this.#allow?.has(ip) !== false
  }
}
