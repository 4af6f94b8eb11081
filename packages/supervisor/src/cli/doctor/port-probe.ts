// Whether a port can be bound, and reached from this machine. What is bound here is closed again.
import { once } from 'node:events'
import net from 'node:net'
import { codeOf } from '@reverse-proxy/shared/error-text'
import { describeBootFailure } from '../../workers/boot-failure.ts'
import type { PortState } from './probes.ts'

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

/** Whether somebody accepts connections there. */
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

/** One can listen on all addresses, and connect to one. */
const LOOPBACK: Readonly<Record<string, string>> = { '0.0.0.0': '127.0.0.1', '::': '::1' }
