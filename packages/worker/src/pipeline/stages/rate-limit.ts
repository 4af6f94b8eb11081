// Applies the rate limit of the client: the request passes, gets 429, or waits for the supervisor's decision. While it
// waits its body is not read. A client that disconnects meanwhile has spent its token.
import type { Log } from '@reverse-proxy/shared/log-fields'
import { rateScopeOf } from '@reverse-proxy/shared/rate-limit/rate-limits'
import { servedRouteOf, type Exchange } from '../../protocol/exchange.ts'
import { sendError } from '../../protocol/error-response.ts'
import type { RateWaiter } from '../../ratelimit/lease.ts'
import type { EventCounter } from '../../observability/metrics.ts'
import { ADMITTED, type RateLimiter } from '../../ratelimit/limiter.ts'
import { DONE, NEXT, WAIT, type Stage, type StageResult } from '../stage.ts'

export type RateLimitDecisions = Pick<RateLimiter, 'admit' | 'wait'>

export class RateLimitStage implements Stage {
  readonly #limiter: RateLimitDecisions
  readonly #log: Log
  readonly #metrics: EventCounter
  readonly #resume: (exchange: Exchange) => void

  /** @param resume continues a request that had to wait and is admitted */
  constructor(
    limiter: RateLimitDecisions,
    log: Log,
    metrics: EventCounter,
    resume: (exchange: Exchange) => void,
  ) {
    this.#limiter = limiter
    this.#log = log
    this.#metrics = metrics
    this.#resume = resume
  }

  run(exchange: Exchange): StageResult {
    const { key } = exchange.client
    const scope = rateScopeOf(servedRouteOf(exchange).settings)
    const decision = this.#limiter.admit(scope, key)
    if (decision === ADMITTED) return NEXT
    if (decision === undefined) {
      this.#limiter.wait(scope, key, new WaitingRequest(exchange, this))
      return WAIT
    }
    // A short body has arrived with the head but has not been read. Respond after it is read: the request is complete
    // then and the client keeps its connection. A new handshake for every 429 would cost us more than the client.
    if (exchange.mayHaveBody) setImmediate(() => this.reject(exchange, decision))
    else this.reject(exchange, decision)
    return DONE
  }

  admit(exchange: Exchange): void {
    this.#resume(exchange)
  }

  reject(exchange: Exchange, retryAfterSecs: number): void {
    const { client, request, head } = exchange
    this.#metrics.count('rate_limited')
    this.#log.warn('RATE_LIMIT', {
      client_ip: client.ip,
      host: request.host,
      path: head.target,
      status: 429,
    })
    sendError(exchange, 'RATE_LIMITED', retryAfterSecs)
  }
}

class WaitingRequest implements RateWaiter {
  readonly #exchange: Exchange
  readonly #stage: RateLimitStage

  constructor(exchange: Exchange, stage: RateLimitStage) {
    this.#exchange = exchange
    this.#stage = stage
  }

  onRateDecision(retryAfterSecs: number): void {
    if (this.#exchange.isOver) return
    if (retryAfterSecs === ADMITTED) this.#stage.admit(this.#exchange)
    else this.#stage.reject(this.#exchange, retryAfterSecs)
  }
}
