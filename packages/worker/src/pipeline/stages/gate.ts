// Holds a request while the gate of its site or route decides whether it may go on.
import { servedRouteOf, type Exchange } from '../../protocol/exchange.ts'
import { NEXT, WAIT, type Stage, type StageResult } from '../stage.ts'

export class GateStage implements Stage {
  readonly #resume: (exchange: Exchange) => void

  /** @param resume continues a request that may go on */
  constructor(resume: (exchange: Exchange) => void) {
    this.#resume = resume
  }

  run(exchange: Exchange): StageResult {
    const { gate } = servedRouteOf(exchange)
    if (gate === undefined) return NEXT
    return gate.ask(exchange, () => this.#resume(exchange)) ? NEXT : WAIT
  }
}
