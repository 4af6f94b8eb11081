// Runs the stages of a listener for each request, in order. The exchange keeps the position, so that a request that
// had to wait continues at the next stage and skips none.
import { stackOf } from '@reverse-proxy/shared/error-text'
import { ProxyError } from '@reverse-proxy/shared/errors'
import type { Log } from '@reverse-proxy/shared/log-fields'
import type { Exchange } from '../protocol/exchange.ts'
import { sendError } from '../protocol/error-response.ts'
import { NEXT, type Stage } from './stage.ts'

export class Pipeline {
  readonly #stages: readonly Stage[]
  readonly #log: Log

  /** @param stages the last one never returns NEXT */
  constructor(stages: readonly Stage[], log: Log) {
    this.#stages = stages
    this.#log = log
  }

  /** Runs the remaining stages of `exchange` until one returns DONE or WAIT. Never throws. */
  run(exchange: Exchange): void {
    try {
      while (this.#stageOf(exchange).run(exchange) === NEXT);
    } catch (error) {
      if (!(error instanceof ProxyError)) this.#log.error('INTERNAL_ERROR', { error: stackOf(error) })
      sendError(exchange, error instanceof ProxyError ? error.code : 'INTERNAL')
    }
  }

  /** Continues a request whose stage returned WAIT. No effect if its client has disconnected meanwhile. */
  resume(exchange: Exchange): void {
    if (!exchange.isOver) this.run(exchange)
  }

  #stageOf(exchange: Exchange): Stage {
    const stage = this.#stages[exchange.stagesRun++]
    if (stage === undefined) throw new TypeError('no stage has responded to the request')
    return stage
  }
}
