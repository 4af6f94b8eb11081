// A lock of one process per host: a bound abstract unix socket (unix(7)). The kernel releases it when the process
// ends, however it ends, so it is never stale. It is bound, and says nothing to
// whoever connects. Names are those of one network namespace: a container has its own; macOS has none.
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { readFile, readlink, stat } from 'node:fs/promises'
import net from 'node:net'
import { codeOf } from '@reverse-proxy/shared/error-text'

export interface HostLock {
  /** The same for every process that this guard keeps out, and for no other. */
  readonly name: string
  release(): Promise<void>
}

/** The host lock of `directory`, by any path; `busy` while another process has it, undefined if the system has none. */
export async function takeHostLock(directory: string): Promise<HostLock | 'busy' | undefined> {
  const namespace = await readNamespace()
  if (namespace === undefined) return undefined
  const { dev, ino } = await stat(directory)
  const digest = createHash('sha256').update(`${dev}:${ino}`).digest('hex').slice(0, 24)
  const server = net.createServer((socket) => socket.destroy())
  server.unref()
  server.listen({ path: `\0reverse-proxy-cache-${digest}` })
  try {
    await once(server, 'listening')
  } catch (error) {
    // Any other error, from a sandbox that forbids such sockets for example, concerns all of our processes.
    return codeOf(error) === 'EADDRINUSE' ? 'busy' : undefined
  }
  server.on('error', () => {})
  return {
    name: `${namespace} ${digest}`,
    release: async () => {
      const closed = once(server, 'close')
      server.close()
      await closed
    },
  }
}

/** The namespace of abstract socket names on this boot of this machine. */
async function readNamespace(): Promise<string | undefined> {
  try {
    const boot = await readFile('/proc/sys/kernel/random/boot_id', 'utf8')
    return `${boot.trim()} ${await readlink('/proc/self/ns/net')}`
  } catch {
    return undefined
  }
}
