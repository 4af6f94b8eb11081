// Checks the ports that the proxy listens on (free, or held by the running proxy, and reachable from this machine) and
// the upstreams that it connects to. Pure.
import { assertNever } from '@reverse-proxy/shared/assert-never'
import type { Finding } from './finding.ts'
import { findingsOf } from './finding.ts'
import type { PortState, TcpUpstream, UpstreamState } from './probes.ts'

export interface PortQuestion {
  readonly address: string
  readonly port: number
  readonly state: PortState
  /** Process id of the proxy that runs with this configuration, if it listens there. */
  readonly heldByProxy: number | undefined
  /** If the proxy holds the port: whether a connection to it succeeds. */
  readonly connects: boolean
}

export function checkPort({ address, port, state, heldByProxy, connects }: PortQuestion): Finding {
  const finding = findingsOf('port', address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`)
  const unreachable = 'a firewall of this machine drops connections to it: nft list ruleset'
  switch (state.state) {
    case 'free':
      return finding.ok('can be bound and reached')
    case 'unreachable':
      return finding.warn('can be bound, but is not reachable from this machine', unreachable)
    case 'refused':
      if (state.code !== 'EADDRINUSE' || heldByProxy === undefined)
        return finding.fail(state.message, state.hint)
      return connects
        ? finding.ok(`held by the running proxy (pid ${heldByProxy})`)
        : finding.warn(`held by the running proxy (pid ${heldByProxy}), but not reachable`, unreachable)
    default:
      return assertNever(state)
  }
}

const SHOWN_HOSTS = 3
/** The name does not exist, or cannot be resolved. */
const NAME_CODES: ReadonlySet<string> = new Set(['ENOTFOUND', 'EAI_AGAIN', 'EAI_FAIL'])

export function checkUpstream(
  { scheme, host, port }: TcpUpstream,
  hosts: readonly string[],
  state: UpstreamState,
): Finding {
  const place = host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
  const finding = findingsOf('upstream', place)
  const more = hosts.length > SHOWN_HOSTS ? ` and ${hosts.length - SHOWN_HOSTS} more` : ''
  const sites = `${hosts.slice(0, SHOWN_HOSTS).join(', ')}${more}`
  switch (state.state) {
    case 'reachable':
      return finding.ok(
        scheme === 'https' ? 'accepts connections with a trusted certificate' : 'accepts connections',
      )
    case 'timeout':
      return finding.warn(
        `does not respond in time: requests for ${sites} would get 504`,
        'start it, or look for a firewall between it and this machine',
      )
    case 'unreachable':
      return finding.warn(
        `cannot be reached (${state.code}): requests for ${sites} would get 502`,
        NAME_CODES.has(state.code)
          ? 'correct the name in upstream, or the resolver of this machine'
          : 'start it, or correct the address in upstream',
      )
    case 'untrusted':
      return finding.fail(
        `TLS fails (${state.reason}): requests for ${sites} would get 502`,
        'name its CA in upstream_ca_file, and in upstream a name that its certificate has; or use upstream_scheme = "http"',
      )
    default:
      return assertNever(state)
  }
}

export function reportUnchecked(count: number): Finding {
  const finding = findingsOf('upstream', `${count} more`)
  return finding.warn('not checked: other upstreams took too long', 'fix those first, then run doctor again')
}
