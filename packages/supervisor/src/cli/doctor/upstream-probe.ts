// Whether somebody answers at the upstream of a site, and over https, whether the certificate shown there is one
// that a worker would accept. Sends no request.
import { NameResolver } from '@reverse-proxy/shared/names/name-resolver'
import { once } from 'node:events'
import net from 'node:net'
import tls from 'node:tls'
import { codeOf, messageOf } from '@reverse-proxy/shared/error-text'
import { systemRoots } from '../../config/system-roots.ts'
import type { TcpUpstream, UpstreamState } from './probes.ts'

/** As the workers do it: a name that nobody resolves keeps no other waiting. */
const upstreamNames = new NameResolver()

/** Never rejects; `signal` ends it early, as `timeout`. */
export async function tryUpstream(
  upstream: TcpUpstream,
  signal: AbortSignal,
  names: Pick<NameResolver, 'lookup'> = upstreamNames,
): Promise<UpstreamState> {
  const { host, port, scheme, caPem } = upstream
  const socket = net.connect({ host, port, lookup: names.lookup })
  socket.on('error', () => {})
  try {
    await once(socket, 'connect', { signal })
  } catch (error) {
    socket.destroy()
    return signal.aborted
      ? { state: 'timeout' }
      : { state: 'unreachable', code: codeOf(error) ?? messageOf(error) }
  }
  if (scheme === 'http') {
    socket.destroy()
    return { state: 'answers' }
  }
  const secure = tls.connect({
    socket,
    host,
    ...(net.isIP(host) === 0 ? { servername: host } : {}),
    ca: caPem === undefined ? [...systemRoots()] : [...systemRoots(), caPem],
  })
  secure.on('error', () => {})
  try {
    await once(secure, 'secureConnect', { signal })
    return { state: 'answers' }
  } catch (error) {
    return signal.aborted ? { state: 'timeout' } : { state: 'untrusted', reason: messageOf(error) }
  } finally {
    secure.destroy()
    socket.destroy()
  }
}
