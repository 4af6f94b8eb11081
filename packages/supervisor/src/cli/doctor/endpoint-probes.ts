// Probes ports and upstreams. A port is bound, connected to and closed again. An upstream is connected to, and over
// https its certificate is verified as a worker would; no request is sent.
import { once } from 'node:events'
import net from 'node:net'
import tls from 'node:tls'
import { codeOf, messageOf } from '@reverse-proxy/shared/error-text'
import { NameResolver } from '@reverse-proxy/shared/names/name-resolver'
import { systemRoots } from '../../config/worker-config.ts'
import { describeBootFailure } from '../../workers/boot-failure.ts'
import type { PortState, TcpUpstream, UpstreamState } from './probes.ts'

const CONNECT_TIMEOUT_MS = 2_000

export async function tryPort(address: string, port: number): Promise<PortState> {
  const server = net.createServer((socket) => {
    socket.on('error', () => {})
    socket.end()
  })
  try {
    server.listen({ host: address, port, ipv6Only: true, exclusive: true })
    await once(server, 'listening')
  } catch (error) {
    const code = codeOf(error) ?? String(error)
    const { message, hint = '' } = await describeBootFailure({ reason: 'bind', address, port, code })
    return { state: 'refused', code, message, hint }
  }
  const state = (await canConnect(address, port)) ? 'free' : 'unreachable'
  server.close()
  return { state }
}

/** Returns true if connections are accepted there. */
export async function canConnect(address: string, port: number): Promise<boolean> {
  const socket = net.connect({ host: LOOPBACK[address] ?? address, port })
  try {
    await once(socket, 'connect', { signal: AbortSignal.timeout(CONNECT_TIMEOUT_MS) })
    return true
  } catch {
    return false
  } finally {
    socket.destroy()
  }
}

/** The address to connect to for a wildcard address. */
const LOOPBACK: Readonly<Record<string, string>> = { '0.0.0.0': '127.0.0.1', '::': '::1' }

/** Resolves names as the workers do: a name without a response delays no other. */
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
    return { state: 'reachable' }
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
    return { state: 'reachable' }
  } catch (error) {
    return signal.aborted ? { state: 'timeout' } : { state: 'untrusted', reason: messageOf(error) }
  } finally {
    secure.destroy()
    socket.destroy()
  }
}
