// Plain TCP in, TLS with a server name out: for tools that speak TLS without one, as the proxy does not.
// Each connection becomes one; whichever side ends takes the other with it, and who does not read is not read.
import net from 'node:net'
import type { TestContext } from 'node:test'
import tls from 'node:tls'
import { listen } from './ports.ts'
import type { RequestOptions } from './clients/request.ts'

/** Returns the port where it listens. */
export async function startTlsForwarder(t: TestContext, { host, port, ca }: RequestOptions): Promise<number> {
  const sockets = new Set<net.Socket>()
  const server = net.createServer((plain) => {
    const secure = tls.connect({ host: '127.0.0.1', port, servername: host, ca })
    for (const [from, to] of [
      [plain, secure],
      [secure, plain],
    ] as const) {
      sockets.add(from)
      from.on('error', () => {})
      from.once('close', () => {
        sockets.delete(from)
        to.destroy()
      })
      from.pipe(to)
    }
  })
  const listening = await listen(t, server)
  t.after(() => {
    for (const socket of sockets) socket.destroy()
  })
  return listening
}
