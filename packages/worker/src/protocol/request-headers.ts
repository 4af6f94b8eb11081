// Sets and removes header fields of the request that goes upstream.
import type { HeaderChange } from '@reverse-proxy/shared/config/config'
import { lowerFieldName } from '../message/field-names.ts'
import { HeaderTemplate } from '../message/header-template.ts'
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
    let kept = 2
    for (let i = 2; i < headers.length; i += 2) {
      if (this.#isChanged(lowerFieldName(headers[i]!))) continue
      headers[kept] = headers[i]!
      headers[kept + 1] = headers[i + 1]!
      kept += 2
    }
    headers.length = kept
    for (const change of this.#changes) {
      if (change.isRemoval) continue
      const value = change.render((placeholder) => placeholderValue(exchange, placeholder))
      if (change.lowerName === HOST) headers[1] = value
      else headers.push(change.name, value)
    }
  }

  /** CGI and WSGI spell `-` and `_` alike: a client's `Remote_User` would be read as our Remote-User. */
  #isChanged(lowerName: string): boolean {
    if (this.#names.has(lowerName)) return true
    return lowerName.includes('_') && this.#names.has(lowerName.replaceAll('_', '-'))
  }
}
