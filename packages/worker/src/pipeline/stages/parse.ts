// Parses the head of a request and rejects one that is malformed or too large.
import type { Limits } from '@reverse-proxy/shared/config/config'
import type { Exchange } from '../../protocol/exchange.ts'
import { parseRequest } from '../../message/request-parser.ts'
import { NEXT, type Stage, type StageResult } from '../stage.ts'

export class ParseStage implements Stage {
  readonly #limits: () => Limits

  constructor(limits: () => Limits) {
    this.#limits = limits
  }

  run(exchange: Exchange): StageResult {
    exchange.request = parseRequest(exchange.head, this.#limits())
    return NEXT
  }
}
