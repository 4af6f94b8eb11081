// Handler of a site or route with a fixed response.
import type { RespondAction } from '@reverse-proxy/shared/config/config'
import { endsWithHead, RESET_CONTENT } from '../../message/headers.ts'
import { sendBody } from '../../protocol/error-response.ts'
import type { Exchange, Handler } from '../../protocol/exchange.ts'

export class RespondHandler implements Handler {
  readonly #action: RespondAction
  readonly #hasContent: boolean

  constructor(action: RespondAction) {
    this.#action = action
    this.#hasContent = !endsWithHead(action.status) && action.status !== RESET_CONTENT
  }

  handle(exchange: Exchange): void {
    const { status, body, contentType } = this.#action
    if (this.#hasContent) {
      sendBody(exchange, status, ['content-type', contentType], body)
    } else {
      exchange.respond({
        status,
        reason: '',
        headers: [],
        contentLength: status === RESET_CONTENT ? '0' : undefined,
      })
      exchange.end([])
    }
  }
}
