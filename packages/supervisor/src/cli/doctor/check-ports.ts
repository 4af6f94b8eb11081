// Whether the ports can be had, or are ours already, and can be reached from this machine. Pure.
import { assertNever } from '@reverse-proxy/shared/assert-never'
import type { Finding } from './finding.ts'
import { judgeOf } from './finding.ts'
import type { PortState } from './probes.ts'

export interface PortQuestion {
  readonly address: string
  readonly port: number
  readonly state: PortState
  /** Process id of the proxy that runs with this configuration, if it listens there. */
  readonly heldByProxy: number | undefined
  /** Where it is held: whether one can connect to it. */
  readonly connects: boolean
}

export function judgePort({ address, port, state, heldByProxy, connects }: PortQuestion): Finding {
  const judge = judgeOf('port', address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`)
  const unreachable = 'a firewall of this machine drops connections to it: nft list ruleset'
  switch (state.state) {
    case 'free':
      return judge.ok('can be bound and reached')
    case 'unreachable':
      return judge.warn('can be bound, but not reached from this machine', unreachable)
    case 'refused':
      if (state.code !== 'EADDRINUSE' || heldByProxy === undefined)
        return judge.fail(state.message, state.hint)
      return connects
        ? judge.ok(`held by the running proxy (pid ${heldByProxy})`)
        : judge.warn(`held by the running proxy (pid ${heldByProxy}), but not to be reached`, unreachable)
    default:
      return assertNever(state)
  }
}
