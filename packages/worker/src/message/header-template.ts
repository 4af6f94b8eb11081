// The value of a header field that the configuration sets, with its placeholders filled in. Pure.
import {
  parseTemplate,
  type Placeholder,
  type TemplatePart,
} from '@reverse-proxy/shared/config/sites/header-changes'
import type { HeaderChange } from '@reverse-proxy/shared/config/config'

export type PlaceholderValues = (placeholder: Placeholder) => string

export class HeaderTemplate {
  readonly name: string
  readonly lowerName: string
  /** The field is removed instead of set. */
  readonly isRemoval: boolean
  readonly #fixed: string | undefined
  readonly #parts: readonly TemplatePart[]

  constructor({ name, value }: HeaderChange) {
    this.name = name
    this.lowerName = name.toLowerCase()
    this.isRemoval = value === ''
    this.#parts = parseTemplate(value)
    const [part] = this.#parts
    this.#fixed = this.#parts.length === 1 && typeof part === 'string' ? part : undefined
  }

  render(valueOf: PlaceholderValues): string {
    if (this.#fixed !== undefined) return this.#fixed
    let text = ''
    for (const part of this.#parts) text += typeof part === 'string' ? part : valueOf(part.placeholder)
    return text
  }
}
