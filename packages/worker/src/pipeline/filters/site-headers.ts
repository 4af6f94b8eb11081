// Sets and removes header fields of a site's responses, whoever made them.
import type { HeaderChange } from '@reverse-proxy/shared/config/config'
import { HeaderTemplate } from '../../message/header-template.ts'
import { removeFields } from '../../message/headers.ts'
import type { Exchange, ResponseFilter, ResponseHead } from '../../protocol/exchange.ts'
import { placeholderValue } from '../../protocol/placeholders.ts'

export class SiteHeadersFilter implements ResponseFilter {
  readonly #changes: readonly HeaderTemplate[]
  readonly #names: ReadonlySet<string>

  constructor(changes: readonly HeaderChange[]) {
    this.#changes = changes.map((change) => new HeaderTemplate(change))
    this.#names = new Set(this.#changes.map(({ lowerName }) => lowerName))
  }

  readonly #isChanged = (lowerName: string): boolean => this.#names.has(lowerName)

  onHead(exchange: Exchange, { headers }: ResponseHead): void {
    removeFields(headers, 0, this.#isChanged)
    for (const change of this.#changes) {
      if (change.isRemoval) continue
      headers.push(
        change.lowerName,
        change.render((placeholder) => placeholderValue(exchange, placeholder)),
      )
    }
  }
}
