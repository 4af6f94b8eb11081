// WebSocket over HTTP/1.1, and every other wish to upgrade.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test } from 'node:test'
import { connectRaw } from './support/raw-client.ts'
import {
  answering,
  OK,
  readRequest,
  readRequests,
  startUpstream,
  valuesOf,
  type UpstreamConnection,
} from './support/raw-upstream.ts'
import { siteOf, startSiteServer } from './support/site-server.ts'
import { waitUntil } from './support/wait-until.ts'

const TIMEOUT = { timeout: 15_000 }
const KEY = 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n'
const SWITCHING =
  'HTTP/1.1 101 Switching Protocols\r\nServer: x\r\nUpgrade: websocket\r\nConnection: Upgrade, X-Hop\r\nX-Hop: 1\r\n' +
  'Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n\r\n'

function handshake(path = '/', more = KEY): string {
  return `GET ${path} HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n${more}\r\n`
}

function ask(method: string, more: string): string {
  return `${method} / HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade, HTTP2-Settings\r\n${more}`
}

/** Accepts the handshake and sends back what comes after it. */
function echo(connection: UpstreamConnection): void {
  const request = readRequest(connection.received)
  if (request === undefined) return
  const after = connection.received.slice(request.bytes)
  if (!after.startsWith('\0')) connection.socket.write(SWITCHING, 'latin1')
  connection.received = `${connection.received.slice(0, request.bytes)}\0`
  connection.socket.write(after.replace('\0', ''), 'latin1')
}

test(
  'a handshake goes up with our headers, its path byte for byte, and becomes a tunnel',
  TIMEOUT,
  async (t) => {
    const upstream = await startUpstream(t, echo)
    const { port, requests } = await startSiteServer(t, [siteOf(upstream.port)])
    const client = await connectRaw(t, port)
    client.send(
      handshake('//chat/../x%2F?a=//', `${KEY}X-Forwarded-For: 6.6.6.6\r\nX-Kept: v\r\nTE: trailers\r\n`) +
        'early',
    )
    const { status, head } = await client.response()
    assert.equal(status, 101)
    assert.match(head, /^HTTP\/1.1 101 Switching Protocols\r\n/u)
    assert.doesNotMatch(head, /server|x-hop/iu)
    assert.match(head, /sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK\+xOo=/iu)
    assert.match(head, /set-cookie: a\r\nset-cookie: b/iu)
    const [connection] = upstream.connections
    assert.ok(connection !== undefined)
    const sent = readRequest(connection.received)
    assert.ok(sent !== undefined)
    assert.equal(sent.line, 'GET //chat/../x%2F?a=// HTTP/1.1')
    assert.deepEqual(sent.headers.map(([name]) => name.toLowerCase()).toSorted(), [
      'connection',
      'host',
      'sec-websocket-key',
      'sec-websocket-version',
      'upgrade',
      'x-forwarded-for',
      'x-forwarded-host',
      'x-forwarded-proto',
      'x-kept',
      'x-real-ip',
    ])
    assert.deepEqual(valuesOf(sent.headers, 'x-forwarded-for'), ['127.0.0.1'])
    await client.until((text) => text === 'early')
    client.send('later')
    await client.until((text) => text === 'earlylater')
    client.socket.end()
    await client.closed()
    await waitUntil('the log', () => requests.length === 1)
    assert.deepEqual([requests[0]?.status, requests[0]?.bytes], [101, 'earlylater'.length])
  },
)

test('either side ending ends the other', TIMEOUT, async (t) => {
  const upstream = await startUpstream(t, echo)
  const { port, server } = await startSiteServer(t, [siteOf(upstream.port)])
  for (const end of [
    (connection: UpstreamConnection) => connection.socket.end(),
    (connection: UpstreamConnection) => connection.socket.resetAndDestroy(),
  ]) {
    const client = await connectRaw(t, port)
    client.send(handshake())
    assert.equal((await client.response()).status, 101)
    end(upstream.newest())
    await client.closed()
  }
  const client = await connectRaw(t, port)
  client.send(handshake())
  assert.equal((await client.response()).status, 101)
  client.socket.destroy()
  await once(upstream.newest().socket, 'close')
  await waitUntil('every connection to be gone', () => server.connectionCount === 0)
})

test('a client that resets before the upstream has answered harms nobody', TIMEOUT, async (t) => {
  const upstream = await startUpstream(t, () => {})
  const { port, requests, server } = await startSiteServer(t, [siteOf(upstream.port)])
  const client = await connectRaw(t, port)
  client.send(handshake())
  await waitUntil('the handshake to arrive', () => upstream.received() !== '')
  client.socket.destroy()
  await once(upstream.newest().socket, 'close')
  await waitUntil('the log', () => requests.length === 1)
  assert.equal(requests[0]?.status, 499)
  const other = await connectRaw(t, port)
  other.send(handshake())
  other.socket.destroy()
  await waitUntil('every connection to be gone', () => server.connectionCount === 0)
})

test(
  'a refusal of the upstream is an answer like any other, framed anew; the connection ends',
  TIMEOUT,
  async (t) => {
    const refusal =
      'HTTP/1.1 403 Forbidden\r\nServer: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nno!\r\n0\r\n\r\n'
    const upstream = await startUpstream(t, answering(refusal))
    const { port, requests } = await startSiteServer(t, [siteOf(upstream.port)])
    const client = await connectRaw(t, port)
    client.send(handshake())
    const { status, head, body } = await client.response()
    assert.deepEqual([status, body], [403, 'no!'])
    assert.match(head, /connection: close/iu)
    assert.doesNotMatch(head, /server/iu)
    await client.closed()
    assert.equal(requests[0]?.status, 403)
  },
)

test('a large refusal is held back for a slow reader, and a cut one is cut', TIMEOUT, async (t) => {
  const size = 2_000_000
  const upstream = await startUpstream(t, ({ socket, received }) => {
    socket.write(`HTTP/1.1 403 Forbidden\r\nContent-Length: ${size}\r\n\r\n`)
    socket.write('x'.repeat(received.includes('/cut') ? 1000 : size))
    if (received.includes('/cut')) socket.end()
  })
  const { port } = await startSiteServer(t, [siteOf(upstream.port)])
  const client = await connectRaw(t, port)
  client.send(handshake())
  assert.equal((await client.response()).body.length, size)
  const cut = await connectRaw(t, port)
  cut.send(handshake('/cut'))
  await cut.closed()
  assert.match(cut.received(), /content-length: 2000000/iu)
  assert.ok(cut.received().length < 2000)
})

test('no upstream, or none that answers in time: 502 and 504', TIMEOUT, async (t) => {
  const silent = await startUpstream(t, () => {})
  const garbage = await startUpstream(t, ({ socket }) => void socket.end('x'.repeat(100)))
  for (const [site, status, error] of [
    [siteOf(1), 502, 'connection refused'],
    [siteOf(garbage.port), 502, 'bad response'],
    [siteOf(silent.port, { requestTimeoutMs: 200 }), 504, 'timeout'],
  ] as const) {
    const { port, upstreamErrors } = await startSiteServer(t, [site])
    const client = await connectRaw(t, port)
    client.send(handshake())
    assert.equal((await client.response()).status, status)
    await client.closed()
    assert.deepEqual(
      upstreamErrors.map((entry) => entry.error),
      [error],
    )
  }
})

test('a handshake without a proper key is 400; for an unknown host 404', TIMEOUT, async (t) => {
  const upstream = await startUpstream(t, echo)
  const { port } = await startSiteServer(t, [siteOf(upstream.port)])
  for (const [bytes, status] of [
    [handshake('/', ''), 400],
    [handshake('/', 'Sec-WebSocket-Key: short\r\n'), 400],
    [handshake('/', KEY + KEY), 400],
    [handshake().replace('a.example', 'x.example'), 404],
  ] as const) {
    const client = await connectRaw(t, port)
    client.send(bytes)
    assert.equal((await client.response()).status, status)
    await client.closed()
  }
  assert.equal(upstream.connections.length, 0)
})

test('any other upgrade is removed, and the request served as an ordinary one', TIMEOUT, async (t) => {
  const upstream = await startUpstream(t, answering(OK))
  const { port } = await startSiteServer(t, [siteOf(upstream.port)])
  const client = await connectRaw(t, port)
  for (const request of [
    ask('GET', 'Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n'),
    ask('POST', 'Upgrade: h2c\r\nContent-Length: 2\r\n\r\nhi'),
    ask('GET', `Upgrade: h2c, websocket\r\n${KEY}\r\n`),
    ask('POST', `Upgrade: websocket\r\n${KEY}Content-Length: 2\r\n\r\nhi`),
    ask('GET', `Upgrade: websocket\r\n${KEY}Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n`),
    ask('OPTIONS', 'Upgrade: TLS/1.0\r\n\r\n'),
  ]) {
    client.send(request)
    assert.equal((await client.response()).status, 200, request)
  }
  const sent = upstream.connections.flatMap(({ received }) => readRequests(received))
  assert.equal(sent.length, 6)
  for (const { headers } of sent) {
    assert.deepEqual(valuesOf(headers, 'upgrade'), [])
    assert.deepEqual(valuesOf(headers, 'http2-settings'), [])
  }
  assert.deepEqual(
    sent.map(({ body }) => body).filter((body) => body !== ''),
    ['hi', 'hi', 'hi'],
  )
})

test('a tunnel without a byte for upgrade_idle_timeout is closed', TIMEOUT, async (t) => {
  const upstream = await startUpstream(t, echo)
  const { port } = await startSiteServer(t, [siteOf(upstream.port)], { upgradeIdleTimeoutMs: 300 })
  const client = await connectRaw(t, port)
  client.send(handshake())
  assert.equal((await client.response()).status, 101)
  const startMs = performance.now()
  for (let i = 0; i < 4; i++) {
    await new Promise((resolve) => setTimeout(resolve, 100))
    client.send('x')
    await client.until((text) => text.length === i + 1)
  }
  await client.closed()
  assert.ok(performance.now() - startMs >= 650)
  await waitUntil('the upstream to be closed', () =>
    upstream.connections.every(({ socket }) => socket.destroyed),
  )
})
