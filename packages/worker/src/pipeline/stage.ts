// One step on a request's way through the pipeline: it judges the request or finds something out about it.
import type { Exchange } from '../protocol/exchange.ts'

/** The next stage may run. */
export const NEXT = 0
/** The request has a response, or somebody who gives it one: no other stage runs. */
export const DONE = 1
/** The stage calls `Pipeline.resume` later; the stages behind it run then. */
export const WAIT = 2

export type StageResult = typeof NEXT | typeof DONE | typeof WAIT

export interface Stage {
  /** @throws ProxyError that the client is answered with */
  run(exchange: Exchange): StageResult
}
