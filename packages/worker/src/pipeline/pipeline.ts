// Runs the stages of a listener for each request, in order. The exchange keeps the position, so that a request
// that had to wait goes on where it stopped and skips nothing.
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

  /** Runs the stages that `exchange` has not passed yet, until one does not return NEXT. Never throws. */
  run(exchange: Exchange): void {
    try {
      while (this.#stageOf(exchange).run(exchange) === NEXT);
    } catch (error) {
      if (!(error instanceof ProxyError)) this.#log.error('INTERNAL_ERROR', { error: stackOf(error) })
      sendError(exchange, error instanceof ProxyError ? error.code : 'INTERNAL')
    }
  }

  /** Goes on with a request whose stage returned WAIT. Without effect if its client has gone meanwhile. */
  resume(exchange: Exchange): void {
    if (!exchange.isOver) this.run(exchange)
  }

  #stageOf(exchange: Exchange): Stage {
    const stage = this.#stages[exchange.stagesRun++]
    if (stage === undefined) throw new TypeError('no stage has answered the request')
    return stage
  }
}
