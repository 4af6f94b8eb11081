// A relay that cuts what clients send into small segments.
import net from 'node:net'
import type { TestContext } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { listen } from '../../../../test/harness/ports.ts'

/** The port of a relay to `port` that sends `pieceBytes` at a time, each piece a segment of its own. */
export async function relayInPieces(t: TestContext, port: number, pieceBytes: number): Promise<number> {
  const relay = net.createServer((client) => {
    const upstream = net.connect({ port, host: '127.0.0.1', noDelay: true })
    client.on('error', () => upstream.destroy())
    upstream.on('error', () => client.destroy())
    upstream.pipe(client)
    forwardInPieces(client, upstream, pieceBytes).catch(() => upstream.destroy())
  })
  return await listen(t, relay)
}

async function forwardInPieces(from: net.Socket, to: net.Socket, pieceBytes: number): Promise<void> {
  for await (const chunk of from.iterator({ destroyOnReturn: false })) {
    const bytes: Buffer = chunk
    for (let at = 0; at < bytes.length; at += pieceBytes) {
      to.write(bytes.subarray(at, at + pieceBytes))
      await nextTurn()
    }
  }
  to.end()
}
