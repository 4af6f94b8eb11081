// Judges whether the upstream of a site can be reached. Pure.
import { assertNever } from '@reverse-proxy/shared/assert-never'
import type { Finding } from './finding.ts'
import { judgeOf } from './finding.ts'
import type { TcpUpstream, UpstreamState } from './probes.ts'

const SHOWN_HOSTS = 3
/** There is no such name, or nobody says whether there is. */
const NAME_CODES: ReadonlySet<string> = new Set(['ENOTFOUND', 'EAI_AGAIN', 'EAI_FAIL'])

export function judgeUpstream(
  { scheme, host, port }: TcpUpstream,
  hosts: readonly string[],
  state: UpstreamState,
): Finding {
  const place = host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
  const judge = judgeOf('upstream', place)
  const more = hosts.length > SHOWN_HOSTS ? ` and ${hosts.length - SHOWN_HOSTS} more` : ''
  const sites = `${hosts.slice(0, SHOWN_HOSTS).join(', ')}${more}`
  switch (state.state) {
    case 'answers':
      return judge.ok(scheme === 'https' ? 'answers, with a certificate that is trusted' : 'answers')
    case 'timeout':
      return judge.warn(
        `nobody answers in time: requests for ${sites} would be 504`,
        'start it, or look for a firewall between it and this machine',
      )
    case 'unreachable':
      return judge.warn(
        `nobody answers (${state.code}): requests for ${sites} would be 502`,
        NAME_CODES.has(state.code)
          ? 'correct the name in upstream, or the resolver of this machine'
          : 'start it, or correct the address in upstream',
      )
    case 'untrusted':
      return judge.fail(
        `TLS fails (${state.reason}): requests for ${sites} would be 502`,
        'name its CA in upstream_ca_file, and in upstream a name that its certificate has; or use upstream_scheme = "http"',
      )
    default:
      return assertNever(state)
  }
}

export function judgeUntried(count: number): Finding {
  const judge = judgeOf('upstream', `${count} more`)
  return judge.warn('not tried: the others took too long', 'see to those first, then ask again')
}
