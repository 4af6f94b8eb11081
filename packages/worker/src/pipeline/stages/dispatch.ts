// The last stage: hands the request to the handler of its site.
import { servedRouteOf, type Exchange } from '../../protocol/exchange.ts'
import { DONE, type Stage, type StageResult } from '../stage.ts'

export class DispatchStage implements Stage {
  run(exchange: Exchange): StageResult {
    servedRouteOf(exchange).handler.handle(exchange)
    return DONE
  }
}
