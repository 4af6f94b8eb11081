// Where a request meets its client's rate limit: it passes, is answered 429, or waits for the authority's
// word. Whether it is within the limit is rate.ts's decision. While it waits nobody reads its body, and a
// client that goes meanwhile has spent its token.
import type { Log } from '@reverse-proxy/shared/log-fields'
import type { ClientExchange } from '../http/client-exchange.ts'
import { answerError } from '../http/error-response.ts'
import type { RateWaiter } from './lease.ts'
import type { RateLimiter } from './rate.ts'
import { ADMITTED } from './rate.ts'

type Resume = (exchange: ClientExchange) => void

export class RateGate {
  readonly #limiter: Pick<RateLimiter, 'admit' | 'wait'>
  readonly #log: Log

  constructor(limiter: Pick<RateLimiter, 'admit' | 'wait'>, log: Log) {
    this.#limiter = limiter
    this.#log = log
  }

  /**
   * @param scope rateScopeOf the site
   * @param resume called later if the request has to wait, is admitted then, and its client is still there
   * @returns whether the request may go on now; if not, it is taken care of
   */
  pass(exchange: ClientExchange, scope: string, resume: Resume): boolean {
    const { clientKey } = exchange.connection
    const verdict = this.#limiter.admit(scope, clientKey)
    if (verdict === ADMITTED) return true
    if (verdict === undefined) {
      this.#limiter.wait(scope, clientKey, new WaitingRequest(exchange, resume, this))
    } else if (exchange.mayHaveBody) {
      // A short body has come with its head, but has not been looked at: with it the request is complete, and
      // the client keeps its connection. A handshake for every refusal would cost us more than the client.
      setImmediate(() => this.refuse(exchange, verdict))
    } else {
      this.refuse(exchange, verdict)
    }
    return false
  }

  refuse(exchange: ClientExchange, retryAfterSecs: number): void {
    const { connection, request, head } = exchange
    this.#log.warn('RATE_LIMIT', {
      client_ip: connection.clientIp,
      host: request.host,
      path: head.target,
      status: 429,
    })
    answerError(exchange, 'RATE_LIMITED', retryAfterSecs)
  }
}

class WaitingRequest implements RateWaiter {
  readonly #exchange: ClientExchange
  readonly #resume: Resume
  readonly #gate: RateGate

  constructor(exchange: ClientExchange, resume: Resume, gate: RateGate) {
    this.#exchange = exchange
    this.#resume = resume
    this.#gate = gate
  }

  onRateVerdict(retryAfterSecs: number): void {
    if (this.#exchange.isOver) return
    if (retryAfterSecs === ADMITTED) this.#resume(this.#exchange)
    else this.#gate.refuse(this.#exchange, retryAfterSecs)
  }
}
