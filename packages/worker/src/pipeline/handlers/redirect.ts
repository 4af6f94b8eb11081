// Handler of a site or route that sends its clients elsewhere.
import type { RedirectAction } from '@reverse-proxy/shared/config/config'
import { restOf } from '../../message/path-rewrite.ts'
import { sendText } from '../../protocol/error-response.ts'
import type { Exchange, Handler } from '../../protocol/exchange.ts'

export class RedirectHandler implements Handler {
  readonly #action: RedirectAction
  readonly #routePath: string

  /** @param routePath in normal form */
  constructor(action: RedirectAction, routePath: string) {
    this.#action = action
    this.#routePath = routePath
  }

  handle(exchange: Exchange): void {
    sendText(exchange, this.#action.status, ['location', this.#locationFor(exchange.request.path)])
  }

  #locationFor(path: string): string {
    const { target, keeps } = this.#action
    if (keeps === 'path') return target + path
    return keeps === 'rest' ? target + restOf(path, this.#routePath) : target
  }
}
