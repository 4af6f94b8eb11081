// WebSocket over HTTP/1.1, and every other wish to upgrade.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test } from 'node:test'
import { connectRaw } from '../../../../test/harness/clients/raw-client.ts'
import {
  answering,
  OK,
  readRequest,
  readRequests,
  startUpstream,
  valuesOf,
  type UpstreamConnection,
} from '../../../../test/harness/raw-upstream.ts'
import { siteOf, startSiteServer } from '../support/site-server.ts'
import { waitFor } from '../../../../test/harness/wait.ts'

const TIMEOUT = { timeout: 60_000 }
const KEY_ALONE = 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n'
const VERSION = 'Sec-WebSocket-Version: 13\r\n'
const KEY = KEY_ALONE + VERSION
/** RFC 6455 5.5.1 and 7.4.1: a close frame, 1001. */
const GOING_AWAY = '\u0088\u0002\u0003\u00e9'
const SWITCHING =
  'HTTP/1.1 101 Switching Protocols\r\nServer: x\r\nUpgrade: websocket\r\nConnection: Upgrade, X-Hop\r\nX-Hop: 1\r\n' +
  'Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nX-Name: caf\u00c3\u00a9\r\n\r\n'

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
    assert.match(head, /x-name: caf\u00c3\u00a9\r\n/iu)
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
      'x-request-id',
    ])
    assert.deepEqual(valuesOf(sent.headers, 'x-forwarded-for'), ['127.0.0.1'])
    await client.until((text) => text === 'early')
    client.send('later')
    await client.until((text) => text === 'earlylater')
    client.socket.end()
    await client.closed()
    await waitFor('the log', () => requests.length === 1)
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
  await waitFor('every connection to be gone', () => server.connectionCount === 0)
})

test('a handshake with Content-Length: 0 is a handshake', TIMEOUT, async (t) => {
  const upstream = await startUpstream(t, echo)
  const { port } = await startSiteServer(t, [siteOf(upstream.port)])
  const client = await connectRaw(t, port)
  client.send(`${handshake('/', `${KEY}Content-Length: 0\r\n`)}first`)
  assert.equal((await client.response()).status, 101)
  await client.until((text) => text === 'first')
})

test('the end of one direction is passed on, and the other goes on', TIMEOUT, async (t) => {
  const upstream = await startUpstream(t, ({ received, socket }) => {
    if (received.endsWith('\r\n\r\n')) socket.write(SWITCHING, 'latin1')
  })
  const { port, server } = await startSiteServer(t, [siteOf(upstream.port)])
  const open = async () => {
    const client = await connectRaw(t, port)
    client.send(handshake())
    assert.equal((await client.response()).status, 101)
    const { socket } = upstream.newest()
    for (const side of [client.socket, socket]) side.allowHalfOpen = true
    return { client, socket }
  }
  const first = await open()
  first.client.socket.end('last')
  await once(first.socket, 'end')
  first.socket.write('more')
  await first.client.until((text) => text === 'more')
  first.socket.end()
  await first.client.closed()

  const second = await open()
  const ended = once(second.client.socket, 'end')
  second.socket.end('last')
  await ended
  second.client.send('more')
  await waitFor('the rest', () => upstream.newest().received.endsWith('more'))
  const large = 'x'.repeat(1_000_000)
  second.client.socket.end(large)
  await once(second.socket, 'end')
  assert.ok(upstream.newest().received.endsWith(`more${large}`))
  await waitFor('every connection to be gone', () => server.connectionCount === 0)
})

test('a client that resets before the upstream has answered harms nobody', TIMEOUT, async (t) => {
  const upstream = await startUpstream(t, () => {})
  const { port, requests, server } = await startSiteServer(t, [siteOf(upstream.port)])
  const client = await connectRaw(t, port)
  client.send(handshake())
  await waitFor('the handshake to arrive', () => upstream.received() !== '')
  client.socket.destroy()
  await once(upstream.newest().socket, 'close')
  await waitFor('the log', () => requests.length === 1)
  assert.equal(requests[0]?.status, 499)
  const other = await connectRaw(t, port)
  other.send(handshake())
  other.socket.destroy()
  await waitFor('every connection to be gone', () => server.connectionCount === 0)
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
    [siteOf(silent.port, { requestTimeoutMs: 1_000 }), 504, 'timeout'],
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

test('upstream_max_connections bounds tunnels: 101, then 503 for who waits in vain', TIMEOUT, async (t) => {
  const upstream = await startUpstream(t, echo)
  const site = siteOf(upstream.port, { connectTimeoutMs: 1_000 })
  const { port, upstreamErrors } = await startSiteServer(t, [site], { upstreamMaxConnections: 1 })
  const clients = await Promise.all(Array.from({ length: 3 }, async () => await connectRaw(t, port)))
  for (const client of clients) client.send(handshake())
  const responses = await Promise.all(clients.map(async (client) => await client.response()))
  assert.deepEqual(
    responses.map(({ status }) => status).toSorted((a, b) => a - b),
    [101, 503, 503],
  )
  for (const { status, head } of responses) if (status === 503) assert.match(head, /^retry-after: 1\r?$/imu)
  assert.deepEqual(
    upstreamErrors.map(({ error }) => error),
    ['max connections', 'max connections'],
  )
  assert.equal(upstream.connections.length, 1)
  const next = await connectRaw(t, port)
  next.send(handshake())
  upstream.newest().socket.destroy()
  assert.equal((await next.response()).status, 101)
})

test('a client that leaves while its handshake is queued gives its place back', TIMEOUT, async (t) => {
  const upstream = await startUpstream(t, echo)
  const { port, requests } = await startSiteServer(t, [siteOf(upstream.port, { connectTimeoutMs: 20_000 })], {
    upstreamMaxConnections: 1,
  })
  const [first, leaving, next] = [
    await connectRaw(t, port),
    await connectRaw(t, port),
    await connectRaw(t, port),
  ]
  first.send(handshake())
  assert.equal((await first.response()).status, 101)
  leaving.send(handshake('/leaving'))
  leaving.socket.destroy()
  await waitFor('the proxy to see it', () => requests.some(({ path }) => path === '/leaving'))
  next.send(handshake())
  upstream.newest().socket.destroy()
  assert.equal((await next.response()).status, 101)
  assert.equal(upstream.connections.length, 2)
})

test(
  'a handshake without a proper key is 400, of another version 426; for an unknown host 404',
  TIMEOUT,
  async (t) => {
    const upstream = await startUpstream(t, echo)
    const { port } = await startSiteServer(t, [siteOf(upstream.port)])
    for (const [bytes, status] of [
      [handshake('/', ''), 400],
      [handshake('/', VERSION), 400],
      [handshake('/', `Sec-WebSocket-Key: short\r\n${VERSION}`), 400],
      [handshake('/', KEY + KEY_ALONE), 400],
      [handshake('/', KEY_ALONE), 426],
      [handshake('/', KEY + VERSION), 426],
      [handshake('/', `${KEY_ALONE}Sec-WebSocket-Version: 13, 8\r\n`), 426],
      [handshake('/', `${KEY_ALONE}Sec-WebSocket-Version: 8\r\n`), 426],
      [handshake().replace('a.example', 'x.example'), 404],
    ] as const) {
      const client = await connectRaw(t, port)
      client.send(bytes)
      const answer = await client.response()
      assert.equal(answer.status, status)
      // RFC 6455 4.2.2, RFC 9110 15.5.22.
      for (const field of [/^sec-websocket-version: 13\r?$/imu, /^upgrade: websocket\r?$/imu]) {
        assert.equal(field.test(answer.head), status === 426, bytes)
      }
      await client.closed()
    }
    assert.equal(upstream.connections.length, 0)
  },
)

test(
  'any other upgrade is removed, and the request served as an ordinary one: its connection’s last',
  TIMEOUT,
  async (t) => {
    const upstream = await startUpstream(t, answering(OK))
    const { port } = await startSiteServer(t, [siteOf(upstream.port)])
    for (const request of [
      ask('GET', 'Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n'),
      ask('POST', 'Upgrade: h2c\r\nContent-Length: 2\r\n\r\nhi'),
      ask('GET', `Upgrade: h2c, websocket\r\n${KEY}\r\n`),
      ask('POST', `Upgrade: websocket\r\n${KEY}Content-Length: 2\r\n\r\nhi`),
      ask('GET', `Upgrade: websocket\r\n${KEY}Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n`),
      ask('OPTIONS', 'Upgrade: TLS/1.0\r\n\r\n'),
    ]) {
      const client = await connectRaw(t, port)
      // The runtime would drop what it reads in the same go: whoever waits for an answer to it waits in vain.
      client.send(`${request}GET /behind HTTP/1.1\r\nHost: a.example\r\n\r\n`)
      const { status, head } = await client.response()
      assert.deepEqual([status, /connection: close/iu.test(head)], [200, true], request)
      await client.closed()
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
  },
)

test('a tunnel without a byte for upgrade_idle_timeout is closed', TIMEOUT, async (t) => {
  const upstream = await startUpstream(t, echo)
  const { port } = await startSiteServer(t, [siteOf(upstream.port)], { upgradeIdleTimeoutMs: 2_000 })
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
  assert.ok(performance.now() - startMs >= 2_350)
  await waitFor('the upstream to be closed', () =>
    upstream.connections.every(({ socket }) => socket.destroyed),
  )
})

test(
  'an upstream that switches to something else: 502, and nothing of it reaches the client',
  TIMEOUT,
  async (t) => {
    for (const upgrade of ['Upgrade: h2c\r\n', '']) {
      const upstream = await startUpstream(
        t,
        answering(`HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n${upgrade}\r\nsecret`),
      )
      const { port, upstreamErrors } = await startSiteServer(t, [siteOf(upstream.port)])
      const client = await connectRaw(t, port)
      client.send(handshake())
      assert.equal((await client.response()).status, 502)
      await client.closed()
      assert.doesNotMatch(client.received(), /secret/u)
      assert.equal(upstreamErrors.length, 1)
      assert.match(
        upstreamErrors[0]?.error ?? '',
        /^bad response: 101 that switches to (?:nothing|something else)$/u,
      )
      await waitFor('the upstream to be closed', () => upstream.newest().socket.destroyed)
    }
  },
)

test('an upstream that falls silent within a refusal: cut after the request timeout', TIMEOUT, async (t) => {
  const upstream = await startUpstream(t, ({ socket }) => {
    socket.write('HTTP/1.1 403 Forbidden\r\nContent-Length: 9\r\n\r\nx')
  })
  const { port } = await startSiteServer(t, [siteOf(upstream.port, { requestTimeoutMs: 1_000 })])
  const client = await connectRaw(t, port)
  client.send(handshake())
  await client.closed()
  assert.match(client.received(), /403 Forbidden[^]*x$/u)
  await waitFor('the upstream to be closed', () => upstream.newest().socket.destroyed)
})

/** A server's frame; of its payload as much as is given. */
function frame(payloadBytes: number, sentBytes = payloadBytes): string {
  const payload = 'p'.repeat(sentBytes)
  return payloadBytes < 126
    ? `\u0082${String.fromCharCode(payloadBytes)}${payload}`
    : `\u0082\u007e${String.fromCharCode(payloadBytes >> 8, payloadBytes & 0xff)}${payload}`
}

test(
  'a drain: a tunnel lives on to the deadline, then its client is told 1001, between frames',
  TIMEOUT,
  async (t) => {
    const upstream = await startUpstream(t, ({ socket, received }) => {
      if (!received.endsWith('\r\n\r\n')) return
      socket.write(SWITCHING, 'latin1')
      if (received.includes('/frames')) socket.write(frame(5) + frame(300), 'latin1')
      if (received.includes('/half')) socket.write(frame(300, 100), 'latin1')
      if (received.includes('/closed')) socket.write('\u0088\u0002\u0003\u00e8', 'latin1')
    })
    const { port, server, closeListener, requests } = await startSiteServer(t, [siteOf(upstream.port)])
    const open = async (path: string, frames: string) => {
      const client = await connectRaw(t, port)
      client.send(handshake(path))
      assert.equal((await client.response()).status, 101)
      await client.until((text) => text === frames)
      return client
    }
    const quiet = await open('/', '')
    const talking = await open('/frames', frame(5) + frame(300))
    const half = await open('/half', frame(300, 100))
    const closed = await open('/closed', '\u0088\u0002\u0003\u00e8')
    closeListener()
    const startMs = performance.now()
    const drained = server.drain(1_500)
    quiet.send('after a while')
    await waitFor('the tunnel to work on', () => upstream.received().includes('after a while'))
    await Promise.all([quiet, talking, half, closed].map(async (client) => await client.closed()))
    assert.ok(performance.now() - startMs >= 1_400)
    await drained
    assert.ok(quiet.received().endsWith(`\r\n\r\n${GOING_AWAY}`))
    assert.ok(talking.received().endsWith(`${frame(5)}${frame(300)}${GOING_AWAY}`))
    assert.ok(half.received().endsWith(frame(300, 100)))
    assert.ok(closed.received().endsWith('\r\n\r\n\u0088\u0002\u0003\u00e8'))
    await waitFor('the upstreams to be closed', () =>
      upstream.connections.every(({ socket }) => socket.destroyed),
    )
    await waitFor('the log', () => requests.length === 4)
    assert.deepEqual(new Set(requests.map(({ status }) => status)), new Set([101]))
  },
)

test(
  'a refusal that is cut by a reset is cut for the client, too, also if only its close would end it',
  TIMEOUT,
  async (t) => {
    const upstream = await startUpstream(t, ({ socket }) => {
      socket.write('HTTP/1.1 403 Forbidden\r\nConnection: close\r\n\r\npart')
    })
    const { port } = await startSiteServer(t, [siteOf(upstream.port)])
    const client = await connectRaw(t, port)
    client.send(handshake())
    await client.until((text) => text.endsWith('part\r\n'))
    upstream.newest().socket.resetAndDestroy()
    await client.closed()
    assert.ok(client.received().endsWith('part\r\n'), client.received())
  },
)

test('a tunnel that one side has ended does not outlive a shorter silence', TIMEOUT, async (t) => {
  const upstream = await startUpstream(t, (connection) => {
    connection.socket.allowHalfOpen = true
    echo(connection)
  })
  const limits = { upgradeIdleTimeoutMs: 600_000, bodyStallTimeoutMs: 1_000 }
  const { port, requests } = await startSiteServer(t, [siteOf(upstream.port)], limits)
  for (const [i, side] of ['client', 'upstream'].entries()) {
    const client = await connectRaw(t, port)
    client.socket.allowHalfOpen = true
    client.send(handshake())
    assert.equal((await client.response()).status, 101)
    if (side === 'client') client.socket.end()
    else upstream.newest().socket.end()
    await waitFor('the tunnel to end', () => requests.length === i + 1)
  }
})
