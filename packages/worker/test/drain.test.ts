// A drain fails no request; what has not ended at its deadline is cut.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { ClientHttp2Session } from 'node:http2'
import { test } from 'node:test'
import { connectHttp2, request } from './support/http2/client.ts'
import { connectRaw } from '../../../test/harness/clients/raw-client.ts'
import {
  answering,
  OK,
  readRequests,
  startUpstream,
  type UpstreamConnection,
} from '../../../test/harness/raw-upstream.ts'
import { siteOf, startSiteServer } from './support/site-server.ts'
import { waitFor } from '../../../test/harness/wait.ts'

const TIMEOUT = { timeout: 15_000 }
const GET = 'GET / HTTP/1.1\r\nHost: a.example\r\n\r\n'

test(
  'HTTP/1.1: requests in flight are answered, the next answer says close, idle ones are closed',
  TIMEOUT,
  async (t) => {
    const waiting: UpstreamConnection[] = []
    const upstream = await startUpstream(t, (connection) => {
      if (connection.received.includes('/slow')) waiting.push(connection)
      else connection.socket.write(OK)
    })
    const { port, server, closeListener } = await startSiteServer(t, [siteOf(upstream.port)])
    const [slow, busy, idle] = await Promise.all([
      connectRaw(t, port),
      connectRaw(t, port),
      connectRaw(t, port),
    ])
    for (const client of [busy, idle]) {
      client.send(GET)
      assert.match((await client.response()).head, /keep-alive/iu)
    }
    slow.send(GET.replace('/', '/slow'))
    await waitFor('the slow request to arrive', () => waiting.length === 1)
    closeListener()
    const drained = server.drain(10_000)
    busy.send(GET)
    assert.match((await busy.response()).head, /connection: close/iu)
    await Promise.all([busy.closed(), idle.closed()])
    await waitFor('the slow one alone', () => server.connectionCount === 1)
    waiting[0]?.socket.write(OK)
    const last = await slow.response()
    assert.deepEqual([last.status, /connection: close/iu.test(last.head)], [200, true])
    await drained
    await Promise.all(
      upstream.connections.map(async ({ socket }) => socket.destroyed || (await once(socket, 'close'))),
    )
  },
)

test('HTTP/2: GOAWAY first, open streams go on, then the end', TIMEOUT, async (t) => {
  const upstream = await startUpstream(t, ({ socket, received }) => {
    if (readRequests(received).at(-1)?.line !== 'GET /slow HTTP/1.1') socket.write(OK)
  })
  const { port, server, closeListener } = await startSiteServer(t, [siteOf(upstream.port)])
  const session = await connectHttp2(t, port)
  const slow = request(session, { ':path': '/slow' })
  await waitFor('the slow request to arrive', () => upstream.received().includes('/slow'))
  const lastIds: number[] = []
  session.on('goaway', (_code, lastId) => lastIds.push(lastId))
  const idle = await connectHttp2(t, port)
  const late = await connectRaw(t, port)
  closeListener()
  const drained = server.drain(10_000)
  await once(session, 'goaway')
  assert.deepEqual(lastIds, [2 ** 31 - 1])
  upstream.connections[0]?.socket.write(OK)
  assert.equal((await slow).status, 200)
  late.send(GET)
  const { status, head } = await late.response()
  assert.deepEqual([status, /connection: close/iu.test(head)], [200, true])
  await Promise.all([onceClosed(session), onceClosed(idle), late.closed(), drained])
})

test('under load no request fails', TIMEOUT, async (t) => {
  const upstream = await startUpstream(t, answering(OK))
  const { port, server, closeListener } = await startSiteServer(t, [siteOf(upstream.port)])
  const statuses: number[] = []
  let isDrained = false
  const clients = Array.from({ length: 20 }, async () => {
    const client = await connectRaw(t, port)
    for (;;) {
      client.send(GET)
      const { status, head } = await client.response()
      statuses.push(status)
      if (/connection: close/iu.test(head)) break
      assert.ok(!isDrained)
    }
    await client.closed()
  })
  await waitFor('some requests', () => statuses.length > 100)
  closeListener()
  await server.drain(10_000)
  isDrained = true
  await Promise.all(clients)
  assert.ok(statuses.every((status) => status === 200))
})

test('at the deadline the rest is cut: requests, streams and tunnels', TIMEOUT, async (t) => {
  const upstream = await startUpstream(t, (connection) => {
    if (!connection.received.includes('Upgrade')) return
    connection.socket.write(
      'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n',
    )
  })
  const { port, server, closeListener, requests } = await startSiteServer(t, [siteOf(upstream.port)])
  const slow = await connectRaw(t, port)
  slow.send(GET)
  const tunnel = await connectRaw(t, port)
  tunnel.send(
    GET.replace(
      '\r\n\r\n',
      '\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n',
    ),
  )
  assert.equal((await tunnel.response()).status, 101)
  const session = await connectHttp2(t, port)
  const answer = request(session)
  await waitFor(
    'all requests to arrive',
    () => upstream.connections.filter(({ received }) => received).length === 3,
  )
  closeListener()
  const startMs = performance.now()
  await server.drain(1_500)
  assert.ok(performance.now() - startMs >= 1_400)
  await Promise.all([slow.closed(), tunnel.closed(), answer])
  assert.equal(server.connectionCount, 0)
  await waitFor('the log', () => requests.length === 3)
  assert.deepEqual(
    requests.map(({ status }) => status).toSorted((a, b) => a - b),
    [101, 499, 499],
  )
})

test('a drain under way can be given less time, never more', TIMEOUT, async (t) => {
  const upstream = await startUpstream(t, () => {})
  const { port, server, closeListener } = await startSiteServer(t, [siteOf(upstream.port)])
  const slow = await connectRaw(t, port)
  slow.send(GET)
  await waitFor('the request to arrive', () => upstream.received().includes('GET'))
  closeListener()
  const drained = server.drain(600_000)
  await Promise.all([server.drain(0), server.drain(600_000), drained, slow.closed()])
  assert.equal(server.connectionCount, 0)
})

test('a drain of nothing is over in a second, and again at once', TIMEOUT, async (t) => {
  const { server } = await startSiteServer(t, [])
  const startMs = performance.now()
  await server.drain(10_000)
  assert.ok(performance.now() - startMs < 2_000)
  await server.drain(10_000)
})

async function onceClosed(session: ClientHttp2Session): Promise<void> {
  if (!session.closed || !session.destroyed) await once(session, 'close')
}
