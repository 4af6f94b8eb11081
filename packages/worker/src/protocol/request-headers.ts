// Sets and removes header fields of the request that goes upstream.
import type { HeaderChange } from '@reverse-proxy/shared/config/config'
import { HeaderTemplate } from '../message/header-template.ts'
import { removeFields } from '../message/headers.ts'
import type { Exchange } from './exchange.ts'
import { placeholderValue } from './placeholders.ts'

const HOST = 'host'

export class RequestHeaderChanges {
  readonly #changes: readonly HeaderTemplate[]
  readonly #names: ReadonlySet<string>

  constructor(changes: readonly HeaderChange[]) {
    this.#changes = changes.map((change) => new HeaderTemplate(change))
    this.#names = new Set(this.#changes.map(({ lowerName }) => lowerName))
  }

  /** @param headers name, value, name, value ...; begins with Host, which stays in front */
  apply(headers: string[], exchange: Exchange): void {
    removeFields(headers, 2, this.#isChanged)
    for (const change of this.#changes) {
      if (change.isRemoval) continue
      const value = change.render((placeholder) => placeholderValue(exchange, placeholder))
      if (change.lowerName === HOST) headers[1] = value
      else headers.push(change.name, value)
    }
  }

  /** CGI and WSGI spell `-` and `_` alike: a client's `Remote_User` would be read as our Remote-User. */
  readonly #isChanged = (lowerName: string): boolean => {
    if (this.#names.has(lowerName)) return true
    return lowerName.includes('_') && this.#names.has(lowerName.replaceAll('_', '-'))
  }
}
