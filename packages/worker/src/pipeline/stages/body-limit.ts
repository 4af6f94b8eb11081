// Refuses a request whose declared length exceeds the limit of its site, and sends 100 Continue to the others
// that ask for it. A body without a declared length is counted while it streams: limits/body.ts.
import { checkDeclaredLength } from '../../protocol/request-body.ts'
import { servedSiteOf, type Exchange } from '../../protocol/exchange.ts'
import { NEXT, type Stage, type StageResult } from '../stage.ts'

const CONTINUE = 100

export class BodyLimitStage implements Stage {
  run(exchange: Exchange): StageResult {
    const { body, expectsContinue } = exchange.request
    if (body.kind === 'none') return NEXT
    if (body.kind === 'length') checkDeclaredLength(body.bytes, servedSiteOf(exchange).config.bodyLimitBytes)
    if (expectsContinue) exchange.inform(CONTINUE, [])
    return NEXT
  }
}
