// WebSocket over HTTP/2 (RFC 8441): a stream of the client, a connection of its own to the upstream.
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import type { ClientHttp2Session, ClientHttp2Stream, OutgoingHttpHeaders } from 'node:http2'
import { test } from 'node:test'
import { answerOf, connectHttp2, open, request } from '../support/http2/client.ts'
import {
  answering,
  readRequest,
  startUpstream,
  valuesOf,
  type Behaviour,
  type UpstreamConnection,
} from '../../../../test/harness/raw-upstream.ts'
import { siteOf, startSiteServer } from '../support/site-server.ts'
import { waitFor, waitUntilStill } from '../../../../test/harness/wait.ts'

const TIMEOUT = { timeout: 60_000 }
const CANCEL = 8
const GOING_AWAY = '\u0088\u0002\u0003\u00e9'
const HANDSHAKE = {
  ':method': 'CONNECT',
  ':protocol': 'websocket',
  ':scheme': 'https',
  ':path': '/chat',
  'sec-websocket-version': '13',
}

function acceptOf(received: string): string {
  const key = /sec-websocket-key: (\S+)/iu.exec(received)?.[1] ?? ''
  return createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64')
}

function switching(received: string, accept = acceptOf(received)): string {
  return (
    'HTTP/1.1 101 Switching Protocols\r\nServer: x\r\nUpgrade: WebSocket\r\nConnection: Upgrade, X-Hop\r\nX-Hop: 1\r\n' +
    `Sec-WebSocket-Accept: ${accept}\r\nSec-WebSocket-Protocol: chat\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n\r\n`
  )
}

/** Switches, then hands what comes to `then`. */
function switchingUpstream(then: (connection: UpstreamConnection, text: string) => void): Behaviour {
  const consumed = new WeakMap<UpstreamConnection, number>()
  return (connection) => {
    const { received, socket } = connection
    const head = readRequest(received)
    if (head === undefined) return
    if (!consumed.has(connection)) socket.write(switching(received), 'latin1')
    const from = consumed.get(connection) ?? head.bytes
    consumed.set(connection, received.length)
    if (received.length > from) then(connection, received.slice(from))
  }
}

const echo = switchingUpstream(({ socket }, text) => socket.write(text, 'latin1'))

interface Tunnel {
  readonly stream: ClientHttp2Stream
  readonly status: number
  readonly headers: Record<string, unknown>
  readonly received: () => string
}

async function openTunnel(session: ClientHttp2Session, headers: OutgoingHttpHeaders = {}): Promise<Tunnel> {
  if (session.remoteSettings.enableConnectProtocol !== true) await once(session, 'remoteSettings')
  const stream = open(session, { ...HANDSHAKE, ...headers }, false)
  let received = ''
  stream.on('error', () => {})
  stream.on('data', (chunk: Buffer) => (received += chunk.toString('latin1')))
  const [answer] = await once(stream, 'response')
  return { stream, status: Number(answer[':status']), headers: answer, received: () => received }
}

test('upstream_max_connections bounds tunnels: 200, then 503 for who waits in vain', TIMEOUT, async (t) => {
  const upstream = await startUpstream(t, echo)
  const site = siteOf(upstream.port, { connectTimeoutMs: 1_000 })
  const { port, upstreamErrors } = await startSiteServer(t, [site], { upstreamMaxConnections: 1 })
  const session = await connectHttp2(t, port)
  const first = await openTunnel(session)
  assert.equal(first.status, 200)
  for (const { status, headers } of await Promise.all([openTunnel(session), openTunnel(session)])) {
    assert.deepEqual([status, headers['retry-after']], [503, '1'])
  }
  assert.deepEqual(
    upstreamErrors.map(({ error }) => error),
    ['max connections', 'max connections'],
  )
  const next = openTunnel(session)
  first.stream.close()
  assert.equal((await next).status, 200)
  assert.equal(upstream.connections.length, 2)
})

test('a stream that is reset while its handshake is queued gives its place back', TIMEOUT, async (t) => {
  const upstream = await startUpstream(t, echo)
  const site = siteOf(upstream.port, { connectTimeoutMs: 20_000 })
  const { port, requests } = await startSiteServer(t, [site], { upstreamMaxConnections: 1 })
  const session = await connectHttp2(t, port)
  const first = await openTunnel(session)
  assert.equal(first.status, 200)
  const leaving = open(session, { ...HANDSHAKE, ':path': '/leaving' }, false)
  leaving.on('error', () => {})
  const next = openTunnel(session)
  leaving.close(CANCEL)
  await waitFor('the proxy to see it', () => requests.some(({ path }) => path === '/leaving'))
  first.stream.close()
  assert.equal((await next).status, 200)
  assert.equal(upstream.connections.length, 2)
})

test('an extended CONNECT becomes a handshake of ours, and then a tunnel', TIMEOUT, async (t) => {
  const upstream = await startUpstream(t, echo)
  const { port, requests } = await startSiteServer(t, [siteOf(upstream.port)])
  const session = await connectHttp2(t, port)
  const { stream, status, headers, received } = await openTunnel(session, {
    ':path': '//chat/../x%2F?a=//',
    'sec-websocket-protocol': 'chat, superchat',
    'sec-websocket-extensions': 'permessage-deflate',
    'sec-websocket-key': 'of the client, which means nothing here',
    'x-forwarded-for': '6.6.6.6',
    'x-kept': 'v',
    cookie: ['a=1', 'b=2'],
  })
  assert.equal(status, 200)
  assert.deepEqual(headers['set-cookie'], ['a', 'b'])
  assert.equal(headers['sec-websocket-protocol'], 'chat')
  for (const name of ['sec-websocket-accept', 'connection', 'upgrade', 'x-hop', 'server', 'content-length']) {
    assert.equal(headers[name], undefined, name)
  }
  const sent = readRequest(upstream.received())
  assert.ok(sent !== undefined)
  assert.equal(sent.line, 'GET //chat/../x%2F?a=// HTTP/1.1')
  assert.deepEqual(sent.headers.map(([name]) => name.toLowerCase()).toSorted(), [
    'connection',
    'cookie',
    'host',
    'sec-websocket-extensions',
    'sec-websocket-key',
    'sec-websocket-protocol',
    'sec-websocket-version',
    'upgrade',
    'x-forwarded-for',
    'x-forwarded-host',
    'x-forwarded-proto',
    'x-kept',
    'x-real-ip',
    'x-request-id',
  ])
  assert.match(valuesOf(sent.headers, 'sec-websocket-key')[0] ?? '', /^[A-Za-z0-9+/]{22}==$/u)
  assert.deepEqual(valuesOf(sent.headers, 'x-forwarded-for'), ['127.0.0.1'])
  assert.deepEqual(valuesOf(sent.headers, 'cookie'), ['a=1; b=2'])
  stream.write('hello')
  await waitFor('the echo', () => received() === 'hello')
  assert.equal(requests.length, 0)
  stream.end('bye')
  await once(stream, 'close')
  assert.equal(received(), 'hellobye')
  await waitFor('the log', () => requests.length === 1)
  assert.deepEqual(
    [requests[0]?.status, requests[0]?.bytes, requests[0]?.method, requests[0]?.path, requests[0]?.proto],
    [200, 8, 'CONNECT', '//chat/../x%2F?a=//', 'h2'],
  )
})

test(
  'many tunnels and requests on one session, each with a key and an upstream of its own',
  TIMEOUT,
  async (t) => {
    const upstream = await startUpstream(t, echo)
    const { port, server } = await startSiteServer(t, [siteOf(upstream.port)])
    const session = await connectHttp2(t, port)
    const tunnels = await Promise.all(Array.from({ length: 20 }, async () => await openTunnel(session)))
    for (const [i, { stream }] of tunnels.entries()) stream.write(`tunnel ${i}`)
    await waitFor('every echo', () => tunnels.every(({ received }, i) => received() === `tunnel ${i}`))
    assert.equal(upstream.connections.length, 20)
    const keys = upstream.connections.map(({ received }) => /websocket-key: (\S+)/iu.exec(received)?.[1])
    assert.equal(new Set(keys).size, 20)
    session.destroy()
    await waitFor('the upstreams to be closed', () =>
      upstream.connections.every(({ socket }) => socket.destroyed),
    )
    await waitFor('the session to be gone', () => server.connectionCount === 0)
  },
)

test('what is no WebSocket, or not of version 13, or has a body, goes nowhere', TIMEOUT, async (t) => {
  const upstream = await startUpstream(t, echo)
  const { port } = await startSiteServer(t, [siteOf(upstream.port)])
  const session = await connectHttp2(t, port)
  await openTunnel(session).then(({ stream }) => stream.close())
  const outcomes: readonly (readonly [OutgoingHttpHeaders, number, boolean])[] = [
    [{ ':protocol': 'connect-udp' }, 405, false],
    [{ ':protocol': 'WebSocket' }, 405, false],
    [{ 'sec-websocket-version': '8' }, 426, false],
    [{ 'sec-websocket-version': '' }, 426, false],
    [{ 'content-length': '5' }, 400, false],
    [{}, 400, true],
    [{ ':authority': 'unknown.example' }, 404, false],
    [{ ':path': 'chat' }, 400, false],
    [{ ':scheme': 'ftp' }, 400, false],
  ]
  for (const [headers, status, endStream] of outcomes) {
    const answer = await answerOf(open(session, { ...HANDSHAKE, ...headers }, endStream))
    if (status === 426) assert.equal(answer.headers['sec-websocket-version'], '13')
    if (answer.resetCode === 0) assert.equal(answer.status, status, JSON.stringify(headers))
    // Or the runtime has refused the stream as malformed, before it came to us.
    else assert.ok(Number.isNaN(answer.status) || answer.status === status, JSON.stringify(headers))
  }
  assert.equal(upstream.connections.length, 1)
  assert.equal((await request(session, { ':authority': 'unknown.example' })).status, 404)
})

test('a switch that proves nothing: 502', TIMEOUT, async (t) => {
  for (const answer of [
    (received: string) => switching(received, 's3pPLMBiTxaQ9kYGzzhZRbK+xOo='),
    (received: string) => switching(received).replace(/Sec-WebSocket-Accept.*\r\n/u, ''),
    (received: string) => switching(received).replace('WebSocket\r\n', 'h2c\r\n'),
    (received: string) => switching(received).replace(/Upgrade: WebSocket\r\n/u, ''),
  ]) {
    const upstream = await startUpstream(
      t,
      ({ socket, received }) => void socket.write(`${answer(received)}secret`),
    )
    const { port, upstreamErrors } = await startSiteServer(t, [siteOf(upstream.port)])
    const session = await connectHttp2(t, port)
    const { status, received } = await openTunnel(session)
    assert.equal(status, 502)
    assert.doesNotMatch(received(), /secret/u)
    assert.equal(upstreamErrors.length, 1)
    assert.match(upstreamErrors[0]?.error ?? '', /^bad response: 101 (?:that switches to|without)/u)
    await waitFor('the upstream to be closed', () => upstream.newest().socket.destroyed)
  }
})

test('a refusal of the upstream, none at all, none in time', TIMEOUT, async (t) => {
  const refusing = await startUpstream(
    t,
    answering(
      'HTTP/1.1 403 Forbidden\r\nServer: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nno!\r\n0\r\n\r\n',
    ),
  )
  const silent = await startUpstream(t, () => {})
  const resetting = await startUpstream(t, ({ socket }) => socket.resetAndDestroy())
  for (const [site, status, body, error] of [
    [siteOf(refusing.port), 403, 'no!', []],
    [siteOf(silent.port, { requestTimeoutMs: 1_000 }), 504, 'Gateway Timeout', ['timeout']],
    [siteOf(resetting.port), 502, 'Bad Gateway', ['reset']],
    [siteOf(1), 502, 'Bad Gateway', ['connection refused']],
  ] as const) {
    const { port, upstreamErrors, requests } = await startSiteServer(t, [site])
    const session = await connectHttp2(t, port)
    const tunnel = await openTunnel(session)
    await once(tunnel.stream, 'close')
    assert.deepEqual([tunnel.status, tunnel.received()], [status, body])
    assert.deepEqual(
      upstreamErrors.map((entry) => entry.error),
      error,
    )
    await waitFor('the log', () => requests.length === 1)
    assert.equal(requests[0]?.status, status)
  }
})

test('a client that resets before the upstream has answered: the upstream is closed', TIMEOUT, async (t) => {
  const upstream = await startUpstream(t, () => {})
  const { port, requests } = await startSiteServer(t, [siteOf(upstream.port)])
  const session = await connectHttp2(t, port)
  await once(session, 'remoteSettings')
  const stream = open(session, HANDSHAKE, false)
  stream.on('error', () => {})
  await waitFor('the handshake to arrive', () => upstream.received() !== '')
  stream.close(CANCEL)
  await waitFor('the upstream to be closed', () => upstream.newest().socket.destroyed)
  await waitFor('the log', () => requests.length === 1)
  assert.equal(requests[0]?.status, 499)
})

test('either side ending or resetting does the same to the other', TIMEOUT, async (t) => {
  const upstream = await startUpstream(
    t,
    switchingUpstream(({ socket }, text) => {
      if (text === 'end') socket.end('last')
      else if (text === 'reset') socket.resetAndDestroy()
      else socket.write(text)
    }),
  )
  const { port } = await startSiteServer(t, [siteOf(upstream.port)])
  const session = await connectHttp2(t, port)
  const ended = await openTunnel(session)
  ended.stream.once('end', () => ended.stream.end())
  ended.stream.write('end')
  await once(ended.stream, 'close')
  assert.deepEqual([ended.received(), ended.stream.rstCode], ['last', 0])

  const reset = await openTunnel(session)
  reset.stream.write('reset')
  await once(reset.stream, 'close')
  assert.equal(reset.stream.rstCode, CANCEL)

  const resetting = await openTunnel(session)
  resetting.stream.close(CANCEL)
  await waitFor('the upstream to be closed', () => upstream.newest().socket.destroyed)

  // Half closed: the upstream may still answer.
  const half = await openTunnel(session)
  half.stream.end('some')
  await once(half.stream, 'close')
  assert.equal(half.received(), 'some')
  await waitFor('every upstream to be closed', () =>
    upstream.connections.every(({ socket }) => socket.destroyed),
  )
  assert.equal((await request(session, { ':authority': 'unknown.example' })).status, 404)
})

test('the end of one direction is passed on, and the other goes on', TIMEOUT, async (t) => {
  const upstream = await startUpstream(
    t,
    switchingUpstream(() => {}),
  )
  const { port } = await startSiteServer(t, [siteOf(upstream.port)])
  const session = await connectHttp2(t, port)
  const first = await openTunnel(session)
  const { socket } = upstream.newest()
  socket.allowHalfOpen = true
  first.stream.end('last')
  await once(socket, 'end')
  socket.write('more')
  await waitFor('what comes after it', () => first.received() === 'more')
  socket.end()
  await once(first.stream, 'close')
  assert.equal(first.stream.rstCode, 0)

  const second = await openTunnel(session)
  const connection = upstream.newest()
  connection.socket.allowHalfOpen = true
  connection.socket.end('last')
  await once(second.stream, 'end')
  second.stream.write('more')
  await waitFor('the rest', () => connection.received.endsWith('more'))
  const large = 'x'.repeat(1_000_000)
  second.stream.end(large)
  await once(connection.socket, 'end')
  assert.ok(connection.received.endsWith(`more${large}`))
  await waitFor('the stream to be over', () => second.stream.destroyed)
  assert.deepEqual([second.received(), second.stream.rstCode], ['last', 0])
})

test('a client that has ended its side before the upstream switches', TIMEOUT, async (t) => {
  let isSwitched = false
  const upstream = await startUpstream(t, ({ received, socket }) => {
    socket.allowHalfOpen = true
    if (!isSwitched) void session.then((one) => one.ping(() => socket.write(switching(received), 'latin1')))
    isSwitched = true
  })
  const { port } = await startSiteServer(t, [siteOf(upstream.port)])
  const session = connectHttp2(t, port)
  const stream = open(await session, HANDSHAKE, false)
  stream.on('error', () => {})
  stream.end()
  await waitFor('the upstream', () => upstream.connections.length === 1)
  const { socket } = upstream.newest()
  await waitFor('the end', () => socket.readableEnded)
  stream.resume()
  socket.end()
  await once(stream, 'close')
  assert.equal(stream.rstCode, 0)
})

test('whoever does not read holds the other back, both ways, and loses nothing', TIMEOUT, async (t) => {
  const size = 8_000_000
  const chunk = Buffer.alloc(100_000, 'x')
  let heldBack = false
  const upstream = await startUpstream(
    t,
    switchingUpstream(({ socket }, text) => {
      if (!text.startsWith('go')) return
      for (let sent = 0; sent < size; sent += chunk.length) heldBack = !socket.write(chunk)
      socket.pause()
    }),
  )
  const { port } = await startSiteServer(t, [siteOf(upstream.port)])
  const session = await connectHttp2(t, port)
  await once(session, 'remoteSettings')
  const stream = open(session, HANDSHAKE, false)
  stream.on('error', () => {})
  await once(stream, 'response')
  stream.write('go')
  const { socket } = upstream.newest()
  await waitFor('the upstream to be held back', () => heldBack && socket.writableLength > 0)
  const held = await waitUntilStill('what the upstream has left to send', () => socket.writableLength, 1_000)
  assert.ok(held > size / 4, `${held} bytes are held`)

  for (let sent = 0; sent < size; sent += chunk.length) stream.write(chunk)
  const toUpstream = await waitUntilStill(
    'what the client has left to send',
    () => stream.writableLength,
    1_000,
  )
  assert.ok(toUpstream > size / 4, `${toUpstream} bytes are held`)

  let received = 0
  stream.on('data', (data: Buffer) => (received += data.length))
  await waitFor('all to come down', () => received === size)
  socket.resume()
  await waitFor('all to go up', () => upstream.received().split('\r\n\r\n')[1]?.length === size + 'go'.length)
})

test('a tunnel without a byte for upgrade_idle_timeout is cut', TIMEOUT, async (t) => {
  const upstream = await startUpstream(t, echo)
  const { port } = await startSiteServer(t, [siteOf(upstream.port)], {
    upgradeIdleTimeoutMs: 2_000,
    keepAliveTimeoutMs: 1_000,
  })
  const session = await connectHttp2(t, port)
  const { stream, received } = await openTunnel(session)
  const startMs = performance.now()
  for (let i = 0; i < 4; i++) {
    await new Promise((resolve) => setTimeout(resolve, 200))
    stream.write('x')
    await waitFor('the echo', () => received().length === i + 1)
  }
  await once(stream, 'close')
  assert.ok(performance.now() - startMs >= 2_700)
  assert.equal(stream.rstCode, CANCEL)
  await waitFor('the upstream to be closed', () => upstream.newest().socket.destroyed)
})

test('a drain: a tunnel lives on to the deadline, then its client is told 1001', TIMEOUT, async (t) => {
  const upstream = await startUpstream(t, echo)
  const { port, server, closeListener, requests } = await startSiteServer(t, [siteOf(upstream.port)])
  const session = await connectHttp2(t, port)
  const tunnel = await openTunnel(session)
  closeListener()
  const startMs = performance.now()
  const drained = server.drain(1_500)
  await once(session, 'goaway')
  tunnel.stream.write('\u0081\u0001x', 'latin1')
  await waitFor('the tunnel to work on', () => tunnel.received() === '\u0081\u0001x')
  await once(tunnel.stream, 'close')
  assert.ok(performance.now() - startMs >= 1_400)
  assert.equal(tunnel.received(), `\u0081\u0001x${GOING_AWAY}`)
  assert.equal(tunnel.stream.rstCode, 0)
  await drained
  await waitFor('the upstream to be closed', () => upstream.newest().socket.destroyed)
  await waitFor('the log', () => requests.length === 1)
  assert.deepEqual([requests[0]?.status, requests[0]?.bytes], [200, 7])
})

test(
  'each tunnel counts as a connection of its client: 503 beyond that, and no upstream is asked',
  TIMEOUT,
  async (t) => {
    const upstream = await startUpstream(t, echo)
    const { port, connections, logged } = await startSiteServer(t, [siteOf(upstream.port)], {
      connectionsPerClient: 4,
    })
    const session = await connectHttp2(t, port)
    const tunnels = [await openTunnel(session), await openTunnel(session), await openTunnel(session)]
    assert.equal(connections.open, 4)
    const refused = await openTunnel(session)
    assert.deepEqual([refused.status, refused.headers['retry-after']], [503, '1'])
    assert.equal(upstream.connections.length, 3)
    const lines = logged.filter(({ event }) => event === 'CONNECTION_LIMIT')
    assert.deepEqual(
      lines.map(({ limit }) => limit),
      ['connections_per_client'],
    )
    for (const { stream } of tunnels) stream.close(CANCEL)
    await waitFor('the tunnels to be gone', () => connections.open === 1)
    assert.equal((await openTunnel(session)).status, 200)
    session.destroy()
    await waitFor('all to be gone', () => connections.open === 0)
  },
)

test(
  'a handshake that its client gives up while it waits takes no place and no connection',
  TIMEOUT,
  async (t) => {
    const upstream = await startUpstream(t, ({ socket, received }) => socket.write(switching(received)))
    const site = siteOf(upstream.port, { connectTimeoutMs: 30_000 })
    const { port, requests } = await startSiteServer(t, [site], { upstreamMaxConnections: 1 })
    const session = await connectHttp2(t, port)
    const { stream: first } = await openTunnel(session)
    const streams = Array.from({ length: 5 }, () => open(session, HANDSHAKE, false))
    // The server has read them all once it has answered what came after them.
    await request(session, { ':authority': 'unknown.example' })
    for (const stream of streams) stream.close(CANCEL)
    await waitFor('all to be given up', () => requests.filter(({ status }) => status === 499).length === 5)
    const next = open(session, HANDSHAKE, false)
    first.close(CANCEL)
    await once(next, 'response')
    assert.equal(upstream.connections.length, 2)
  },
)

test('a tunnel that one side has ended does not outlive a shorter silence', TIMEOUT, async (t) => {
  const upstream = await startUpstream(t, ({ socket, received }) => {
    socket.allowHalfOpen = true
    socket.write(switching(received))
  })
  const limits = { upgradeIdleTimeoutMs: 600_000, bodyStallTimeoutMs: 1_000 }
  const { port, requests } = await startSiteServer(t, [siteOf(upstream.port)], limits)
  const session = await connectHttp2(t, port)
  for (const [i, side] of ['client', 'upstream'].entries()) {
    const { stream } = await openTunnel(session)
    if (side === 'client') stream.end()
    else upstream.newest().socket.end()
    await waitFor('the tunnel to end', () => requests.length === i + 1)
  }
})
