// Responds to http-01 challenges (RFC 8555 8.3). It runs before the request is routed, because the CA may send it for a
// name that is not served yet.
import type { Exchange } from '../../protocol/exchange.ts'
import { sendBody, sendText } from '../../protocol/error-response.ts'
import { DONE, NEXT, type Stage, type StageResult } from '../stage.ts'

const CHALLENGE_PATH = '/.well-known/acme-challenge/'

export class AcmeHttp01Stage implements Stage {
  readonly #keyAuthorizationOf: (token: string) => string | undefined

  /** @param keyAuthorizationOf the response for the token of an armed challenge */
  constructor(keyAuthorizationOf: (token: string) => string | undefined) {
    this.#keyAuthorizationOf = keyAuthorizationOf
  }

  run(exchange: Exchange): StageResult {
    const { path } = exchange.request
    if (!path.startsWith(CHALLENGE_PATH)) return NEXT
    const keyAuthorization = this.#keyAuthorizationOf(path.slice(CHALLENGE_PATH.length))
    if (keyAuthorization === undefined) sendText(exchange, 404)
    else sendBody(exchange, 200, ['content-type', 'application/octet-stream'], keyAuthorization)
    return DONE
  }
}
