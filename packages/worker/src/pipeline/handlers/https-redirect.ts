// Handler of the plain-HTTP port: sends the client to the same host, path and query over HTTPS.
import { sendText } from '../../protocol/error-response.ts'
import type { Exchange, Handler } from '../../protocol/exchange.ts'

const DEFAULT_HTTPS_PORT = 443

export class HttpsRedirectHandler implements Handler {
  readonly #portSuffix: string

  constructor(httpsPort: number) {
    this.#portSuffix = httpsPort === DEFAULT_HTTPS_PORT ? '' : `:${httpsPort}`
  }

  handle(exchange: Exchange): void {
    const { host, path } = exchange.request
    sendText(exchange, 301, ['location', `https://${host}${this.#portSuffix}${path}`])
  }
}
