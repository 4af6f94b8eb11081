// One step of the pipeline: it checks the request, adds to the exchange, or responds.
import type { Exchange } from '../protocol/exchange.ts'

/** The next stage runs. */
export const NEXT = 0
/** The stage has responded, or will: no other stage runs. */
export const DONE = 1
/** The stage calls `Pipeline.resume` later; the next stage runs then. */
export const WAIT = 2

export type StageResult = typeof NEXT | typeof DONE | typeof WAIT

export interface Stage {
  /** @throws ProxyError, which becomes the error response */
  run(exchange: Exchange): StageResult
}
