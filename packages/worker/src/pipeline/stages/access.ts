// Refuses a request whose client is banned, is not on the allow list of its site or route, or is on the deny list.
import { ProxyError } from '@reverse-proxy/shared/errors'
import type { Bans } from '../../access/bans.ts'
import { servedRouteOf, type Exchange } from '../../protocol/exchange.ts'
import { NEXT, type Stage, type StageResult } from '../stage.ts'

export class AccessStage implements Stage {
  readonly #bans: Pick<Bans, 'isBanned'>

  constructor(bans: Pick<Bans, 'isBanned'>) {
    this.#bans = bans
  }

  run(exchange: Exchange): StageResult {
    if (this.#bans.isBanned(exchange.client)) {
      // Its next connection is refused. That of a trusted proxy serves others, too.
      if (exchange.client.forwarded === undefined) exchange.closeAfterwards()
      throw new ProxyError('FORBIDDEN', 'the client is banned')
    }
    const { access } = servedRouteOf(exchange)
    if (access?.admits(exchange.client.ip) === false)
      throw new ProxyError('FORBIDDEN', 'the address is not admitted')
    return NEXT
  }
}
