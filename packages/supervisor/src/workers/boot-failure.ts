// Explains to the operator why a worker could not start.
import { ProxyError } from '@reverse-proxy/shared/errors'
import type { BootFailure } from '@reverse-proxy/shared/ipc/messages'
import { findPortHolder } from '../os/listening-sockets.ts'

/** `undefined`: it died without a report. */
export async function describeBootFailure(failure: BootFailure | undefined): Promise<ProxyError> {
  if (failure === undefined) return new ProxyError('WORKER_BOOT', 'a worker died while it was starting')
  if (failure.reason === 'internal')
    return new ProxyError('WORKER_BOOT', `a worker could not start: ${failure.message}`)
  return await describeBindFailure(failure)
}

export async function describeBindFailure({
  address,
  port,
  code,
}: Pick<Extract<BootFailure, { reason: 'bind' }>, 'address' | 'port' | 'code'>): Promise<ProxyError> {
  const where = `port ${port} on ${address}`
  switch (code) {
    case 'EADDRINUSE': {
      const holder = await findPortHolder(address, port)
      return new ProxyError('BIND', `${where} is taken${holder === undefined ? '' : ` by ${holder}`}`, {
        hint: 'stop that program, or configure another port',
      })
    }
    case 'EACCES':
      return new ProxyError('BIND', `${where} needs more rights than this user has`, {
        hint: 'start as root or under systemd (AmbientCapabilities=CAP_NET_BIND_SERVICE), or use a port from 1024 on',
      })
    case 'EADDRNOTAVAIL':
      return new ProxyError('BIND', `${address} is not an address of this machine`, {
        hint: '`ip address` lists those that are',
      })
    default:
      return new ProxyError('BIND', `${where} cannot be bound: ${code}`)
  }
}
