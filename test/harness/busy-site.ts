// A site under every kind of client at once: the scene of the tests that replace, kill or stop its workers.
import type { TestContext } from 'node:test'
import { WebSocketServer } from 'ws'
import type { ClientCounts } from './clients/clients.ts'
import { answerClients, runClients } from './clients/clients.ts'
import { Tally } from './clients/tally.ts'
import { HttpOrigin } from './http-origin.ts'
import type { FileConfig } from './proxy.ts'
import type { ServedSite } from './site.ts'
import { serveSite } from './site.ts'
import { waitFor } from './wait.ts'

export interface BusySite extends ServedSite {
  readonly tally: Tally
  /** Every client finishes what it is at. */
  readonly endClients: () => Promise<void>
  /** Resolves when at least one request of every kind has been served after now. */
  readonly moreOfEverything: () => Promise<void>
}

/** Resolves when every kind of client has been served. */
export async function startBusySite(
  t: TestContext,
  counts: ClientCounts,
  config: FileConfig = {},
): Promise<BusySite> {
  const origin = await HttpOrigin.start(t, (incoming, response) => void answerClients(incoming, response))
  const webSockets = new WebSocketServer({ server: origin.server })
  t.after(() => webSockets.close())
  webSockets.on('connection', (peer) => {
    peer.on('error', () => {})
    peer.on('message', (data) => peer.send(data))
  })
  const site = await serveSite(t, {
    upstream: origin.upstream,
    config: { shutdown_timeout_secs: 10, limits: { connections_per_client: 10_000 }, ...config },
  })
  const tally = new Tally()
  const stop = new AbortController()
  const running = runClients({ target: site.target, counts, tally }, stop.signal)
  t.after(() => stop.abort())
  const moreOfEverything = async (): Promise<void> => {
    const before = { ...tally.done }
    await waitFor(
      'every kind of client to be served',
      () => {
        const kinds = Object.keys(tally.done)
        return (
          kinds.length === kindsIn(counts) &&
          kinds.every((kind) => (tally.done[kind] ?? 0) > (before[kind] ?? 0))
        )
      },
      30_000,
    )
  }
  await moreOfEverything()
  return {
    ...site,
    tally,
    moreOfEverything,
    endClients: async () => {
      stop.abort()
      await running
    },
  }
}

function kindsIn(counts: ClientCounts): number {
  return [
    counts.freshPerSecond,
    counts.keptConnections,
    counts.http2Connections,
    counts.uploads,
    counts.webSockets,
  ].filter((count) => count > 0).length
}
