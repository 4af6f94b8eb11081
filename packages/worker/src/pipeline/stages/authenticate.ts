// Asks for a user and password where the site or route has a file of them. The password is compared by the supervisor;
// while the request waits its body is not read.
import type { PasswordVerdict } from '@reverse-proxy/shared/ipc/messages'
import type { Log } from '@reverse-proxy/shared/log-fields'
import type { PasswordChecks } from '../../access/password-checks.ts'
import { basicCredentialsOf } from '../../message/basic-credentials.ts'
import type { EventCounter } from '../../observability/metrics.ts'
import { sendError, sendText } from '../../protocol/error-response.ts'
import { servedRouteOf, type Exchange } from '../../protocol/exchange.ts'
import { DONE, NEXT, WAIT, type Stage, type StageResult } from '../stage.ts'

export class AuthenticateStage implements Stage {
  readonly #checks: Pick<PasswordChecks, 'check'>
  readonly #log: Log
  readonly #metrics: EventCounter
  readonly #resume: (exchange: Exchange) => void

  /** @param resume continues a request that had to wait and whose password is right */
  constructor(
    checks: Pick<PasswordChecks, 'check'>,
    log: Log,
    metrics: EventCounter,
    resume: (exchange: Exchange) => void,
  ) {
    this.#checks = checks
    this.#log = log
    this.#metrics = metrics
    this.#resume = resume
  }

  run(exchange: Exchange): StageResult {
    const { basicAuth } = servedRouteOf(exchange).settings
    if (basicAuth === undefined) return NEXT
    const credentials = basicCredentialsOf(exchange.head.rawHeaders)
    if (credentials === undefined) {
      challenge(exchange)
      return DONE
    }
    const { user } = credentials
    const question = { file: basicAuth.file, client: exchange.client.key, ...credentials }
    const verdict = this.#checks.check(question, (later) => {
      if (!exchange.isOver && this.#apply(exchange, user, later) === NEXT) this.#resume(exchange)
    })
    return verdict === undefined ? WAIT : this.#apply(exchange, user, verdict)
  }

  #apply(exchange: Exchange, user: string, verdict: PasswordVerdict): StageResult {
    if (verdict.kind === 'accepted') {
      exchange.user = user
      return NEXT
    }
    const { client, request, head } = exchange
    const status = verdict.kind === 'denied' ? 401 : 429
    this.#metrics.count('auth_failed')
    this.#log.warn('AUTH_FAILED', { client_ip: client.ip, host: request.host, path: head.target, status })
    if (verdict.kind === 'denied') challenge(exchange)
    else sendError(exchange, 'RATE_LIMITED', verdict.retryAfterSecs)
    return DONE
  }
}

/** RFC 7617 2.1: asks the client to encode user and password as UTF-8. */
function challenge(exchange: Exchange): void {
  const { siteName } = servedRouteOf(exchange)
  sendText(exchange, 401, ['www-authenticate', `Basic realm="${siteName}", charset="UTF-8"`])
}
