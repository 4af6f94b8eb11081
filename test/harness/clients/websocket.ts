// A WebSocket to a site through the proxy, on a connection of its own.
import { once } from 'node:events'
import type { TestContext } from 'node:test'
import type { ConnectionOptions } from 'node:tls'
import { WebSocket } from 'ws'
import type { RequestOptions } from './request.ts'

/** Not open yet. */
export function connectWebSocket({ host, port, ca }: RequestOptions): WebSocket {
  // Options that ws hands on to node:tls; its own types do not know the first.
  const trust: ConnectionOptions = { servername: host, ca }
  return new WebSocket(`wss://127.0.0.1:${port}/chat`, { headers: { Host: host }, ...trust })
}

/** Open, and silent until it is closed: resolves with a promise of the code that it is closed with, in an object. */
export async function holdWebSocket(
  t: TestContext,
  target: RequestOptions,
): Promise<{ readonly closed: Promise<number> }> {
  const client = connectWebSocket(target)
  t.after(() => client.terminate())
  const closed = new Promise<number>((resolve) => client.once('close', resolve))
  await once(client, 'open')
  return { closed }
}
