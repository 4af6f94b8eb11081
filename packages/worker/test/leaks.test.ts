// Whatever ends early leaves nothing open on either side.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import net from 'node:net'
import { test } from 'node:test'
import tls from 'node:tls'
import { connectHttp2, open } from './support/http2/client.ts'
import { connectRaw } from '../../../test/harness/clients/raw-client.ts'
import { startUpstream } from '../../../test/harness/raw-upstream.ts'
import { siteOf, startSiteServer } from './support/site-server.ts'
import { waitFor } from '../../../test/harness/wait.ts'

const TIMEOUT = { timeout: 120_000 }
const GET = 'GET / HTTP/1.1\r\nHost: a.example\r\n\r\n'
const PARTIAL = 'HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nsome'

test('a client that closes its half while it waits: the exchange ends', TIMEOUT, async (t) => {
  const upstream = await startUpstream(t, () => {})
  const { port, server, requests } = await startSiteServer(t, [siteOf(upstream.port)])
  for (const bytes of [
    GET,
    'POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\n\r\nx',
    'GET / HTTP/1.1\r\nHo',
  ]) {
    const raw = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true })
    const socket = tls.connect({ socket: raw, servername: 'a.example', rejectUnauthorized: false })
    socket.on('error', () => {})
    await once(socket, 'secureConnect')
    socket.end(bytes)
    socket.resume()
    await once(socket, 'close')
  }
  await waitFor('everything to be closed', () => server.connectionCount === 0)
  await waitFor('upstream connections to be closed', () =>
    upstream.connections.every(({ socket }) => socket.destroyed),
  )
  assert.deepEqual(
    requests.map(({ status }) => status),
    [499, 499],
  )
})

test('500 downloads given up over HTTP/1.1, 500 over HTTP/2: none stays', TIMEOUT, async (t) => {
  const upstream = await startUpstream(t, ({ socket }) => void socket.write(PARTIAL))
  const { port, server, requests, upstreamErrors } = await startSiteServer(t, [siteOf(upstream.port)], {
    upstreamConnectionsPerSite: 64,
    http2Streams: 1000,
  })
  const one = async (): Promise<void> => {
    const client = await connectRaw(t, port)
    client.send(GET)
    await client.until((text) => text.includes('some'))
    client.socket.destroy()
  }
  for (let i = 0; i < 25; i++) await Promise.all(Array.from({ length: 20 }, one))
  for (let i = 0; i < 10; i++) {
    const session = await connectHttp2(t, port)
    const abandoned = Array.from({ length: 50 }, async () => {
      const stream = open(session, { ':path': '/' })
      stream.on('error', () => {})
      await once(stream, 'data')
      stream.close(8)
      await once(stream, 'close')
    })
    await Promise.all(abandoned)
    session.close()
  }
  await waitFor('all to be logged', () => requests.length === 1000)
  await waitFor('clients to be gone', () => server.connectionCount === 0)
  await waitFor('upstream connections to be closed', () =>
    upstream.connections.every(({ socket }) => socket.destroyed),
  )
  assert.equal(upstream.connections.length, 1000)
  assert.ok(requests.every(({ status }) => status === 200))
  assert.deepEqual(upstreamErrors, [])
})

test('idle upstream connections are closed before the upstream does it', TIMEOUT, async (t) => {
  const upstream = await startUpstream(
    t,
    ({ socket }) => void socket.write('HTTP/1.1 204 No Content\r\n\r\n'),
  )
  const { port } = await startSiteServer(t, [siteOf(upstream.port)])
  const client = await connectRaw(t, port)
  client.send(GET)
  assert.equal((await client.response()).status, 204)
  await waitFor('the connection to be closed', () =>
    upstream.connections.every(({ socket }) => socket.destroyed),
  )
  client.send(GET)
  assert.equal((await client.response()).status, 204)
})
