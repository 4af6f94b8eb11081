// Refuses a request whose client is not on the allow list of its site or route, or is on the deny list.
import { ProxyError } from '@reverse-proxy/shared/errors'
import { servedRouteOf, type Exchange } from '../../protocol/exchange.ts'
import { NEXT, type Stage, type StageResult } from '../stage.ts'

export class AccessStage implements Stage {
  run(exchange: Exchange): StageResult {
    const { access } = servedRouteOf(exchange)
    if (access?.admits(exchange.client.ip) === false)
      throw new ProxyError('FORBIDDEN', 'the address is not admitted')
    return NEXT
  }
}
