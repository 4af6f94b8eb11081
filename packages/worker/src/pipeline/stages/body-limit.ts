// Rejects a request whose Content-Length exceeds the limit of its site, and sends 100 Continue to other requests that
// expect it. A body without Content-Length is counted while it streams: protocol/request-body.ts.
import { checkDeclaredLength } from '../../protocol/request-body.ts'
import { servedRouteOf, type Exchange } from '../../protocol/exchange.ts'
import { NEXT, type Stage, type StageResult } from '../stage.ts'

const CONTINUE = 100

export class BodyLimitStage implements Stage {
  run(exchange: Exchange): StageResult {
    const { body, expectsContinue } = exchange.request
    if (body.kind === 'none') return NEXT
    if (body.kind === 'length')
      checkDeclaredLength(body.bytes, servedRouteOf(exchange).settings.bodyLimitBytes)
    if (expectsContinue) exchange.inform(CONTINUE, [])
    return NEXT
  }
}
