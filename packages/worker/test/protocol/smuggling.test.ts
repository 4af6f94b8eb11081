// Framing that can be read in two ways, and targets that name something else: refused, and nothing goes up.
// What is known by a number has a file of its own in advisories/.
import assert from 'node:assert/strict'
import net from 'node:net'
import { test, type TestContext } from 'node:test'
import tls from 'node:tls'
import { sendError } from '../../src/protocol/error-response.ts'
import { Http1Server } from '../../src/protocol/http1/server.ts'
import { TrafficMetrics } from '../../src/observability/metrics.ts'
import { WriteTimeouts } from '../../src/protocol/write-timeouts.ts'
import { recordingLog } from '../support/front.ts'
import { connectHttp2, request } from '../support/http2/client.ts'
import { connectPlain, connectRaw, type RawClient } from '../../../../test/harness/clients/raw-client.ts'
import {
  answering,
  OK,
  readRequests,
  startUpstream,
  type UpstreamRequest,
} from '../../../../test/harness/raw-upstream.ts'
import { LIMITS, siteOf, startSiteServer } from '../support/site-server.ts'
import { listen } from '../../../../test/harness/ports.ts'

const TIMEOUT = { timeout: 15_000 }
const SMUGGLED = 'GET /smuggled HTTP/1.1\r\nHost: a.example\r\n\r\n'
const CHUNKED = `${SMUGGLED.length.toString(16)}\r\n${SMUGGLED}\r\n0\r\n\r\n`

interface Attempt {
  readonly client: RawClient
  readonly received: UpstreamRequest[]
  readonly status: number
}

/** Sends `bytes`; the upstream must have had whole requests and nothing else, `/smuggled` never as one. */
async function attempt(t: TestContext, bytes: string): Promise<Attempt> {
  const upstream = await startUpstream(t, answering(OK))
  const { port } = await startSiteServer(t, [siteOf(upstream.port)])
  const client = await connectRaw(t, port)
  client.send(bytes)
  const { status } = await client.response()
  const received = upstream.connections.flatMap((connection) => readRequests(connection.received))
  assert.ok(received.every(({ line }) => !line.includes('/smuggled')))
  // The server lives, and the next client is served.
  const next = await connectRaw(t, port)
  next.send('GET /next HTTP/1.1\r\nHost: a.example\r\n\r\n')
  assert.equal((await next.response()).status, 200)
  return { client, received, status }
}

const AMBIGUOUS: readonly (readonly [name: string, head: string])[] = [
  ['Content-Length beside Transfer-Encoding', 'Content-Length: 6\r\nTransfer-Encoding: chunked\r\n'],
  ['two different Content-Length', 'Content-Length: 5\r\nContent-Length: 6\r\n'],
  ['two equal Content-Length', 'Content-Length: 5\r\nContent-Length: 5\r\n'],
  ['a list of lengths', 'Content-Length: 5, 5\r\n'],
  ['a signed length', 'Content-Length: +5\r\n'],
  ['a length in hexadecimal', 'Content-Length: 0x5\r\n'],
  ['a folded line', 'X: a\r\n Content-Length: 5\r\n'],
  ['Transfer-Encoding: gzip, chunked', 'Transfer-Encoding: gzip, chunked\r\n'],
  ['Transfer-Encoding: chunked, gzip', 'Transfer-Encoding: chunked, gzip\r\n'],
  ['Transfer-Encoding twice', 'Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n'],
  ['an unknown Transfer-Encoding', 'Transfer-Encoding: xchunked\r\n'],
  ['Transfer-Encoding with a control byte', 'Transfer-Encoding: \u000bchunked\r\n'],
  ['a bare CR in a value', 'X: a\rContent-Length: 5\r\n'],
  ['a bare LF as line end', 'X: a\nContent-Length: 5\r\n'],
  ['NUL in a name', 'X\u0000: a\r\n'],
  ['a line without a colon', 'nonsense\r\n'],
]
for (const [name, head] of AMBIGUOUS) {
  test(`ambiguous framing, ${name}: 400, closed, nothing goes up`, TIMEOUT, async (t) => {
    const { client, received, status } = await attempt(
      t,
      `POST /x HTTP/1.1\r\nHost: a.example\r\n${head}\r\n0\r\n\r\n${SMUGGLED}`,
    )
    assert.deepEqual([status, received.length], [400, 0])
    await client.closed()
  })
}

test('Transfer-Encoding from HTTP/1.0: 400', TIMEOUT, async (t) => {
  const { received, status } = await attempt(
    t,
    `POST / HTTP/1.0\r\nHost: a.example\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n${CHUNKED}`,
  )
  assert.deepEqual([status, received.length], [400, 0])
})

for (const [name, chunks] of [
  ['a bad chunk size', `x\r\n${SMUGGLED}`],
  ['a size too large to be one', `fffffffffffffffff\r\n${SMUGGLED}`],
  ['a CR alone after a chunk', `2\r\nhi\r\r\n${SMUGGLED}`],
  ['a chunk longer than it says', `1\r\nhi\r\n0\r\n\r\n${SMUGGLED}`],
] as const) {
  test(`within a chunked body, ${name}: no second request, the connection ends`, TIMEOUT, async (t) => {
    const upstream = await startUpstream(t, answering(OK))
    const { port } = await startSiteServer(t, [siteOf(upstream.port)])
    const client = await connectRaw(t, port)
    client.send(`POST /x HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n${chunks}`)
    const { status } = await client.response()
    assert.ok(status === 400 || status === 413, String(status))
    await client.closed()
    assert.doesNotMatch(upstream.received(), /^GET \/smuggled/mu)
  })
}

test('what follows a refused request is not read as one', TIMEOUT, async (t) => {
  const bad = 'POST /x HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n'
  const { client, received } = await attempt(t, bad + SMUGGLED + SMUGGLED)
  await client.closed()
  assert.equal(received.length, 0)
  assert.equal(client.received().split('HTTP/1.1 ').length, 2)
})

test('garbage behind a request does not take its answer', TIMEOUT, async (t) => {
  const { client, status, received } = await attempt(
    t,
    'GET /x HTTP/1.1\r\nHost: a.example\r\n\r\n\u0001\u0002nonsense\r\n\r\n',
  )
  assert.deepEqual([status, received.length], [200, 1])
  await client.closed()
})

test('no Host: 400 in our own words', TIMEOUT, async (t) => {
  const upstream = await startUpstream(t, answering(OK))
  const { port, requests } = await startSiteServer(t, [siteOf(upstream.port)])
  const client = await connectRaw(t, port)
  client.send('GET /x HTTP/1.1\r\n\r\n')
  const { status, body } = await client.response()
  assert.deepEqual([status, body, requests[0]?.status], [400, 'Bad Request', 400])
  await client.closed()
  assert.equal(upstream.received(), '')
})

test('targets that name another host or another request', TIMEOUT, async (t) => {
  for (const line of [
    'GET http://b.example/ HTTP/1.1',
    'GET http://user@a.example/ HTTP/1.1',
    'GET /x#f HTTP/1.1',
    'GET /x\tHTTP/1.1 HTTP/1.1',
    'GET a.example:443 HTTP/1.1',
    'OPTIONS * HTTP/1.1',
    'GET /x HTTP/9.9',
    'GET /x HTTP/2.0',
    'GET /x HTTP/0.9',
  ]) {
    const { status, received } = await attempt(t, `${line}\r\nHost: a.example\r\n\r\n`)
    assert.deepEqual([status, received.length], [400, 0], line)
  }
})

test('HTTP/2: a length that lies never becomes a request of another length', TIMEOUT, async (t) => {
  const upstream = await startUpstream(t, answering(OK))
  const { port } = await startSiteServer(t, [siteOf(upstream.port)])
  for (const [declared, body] of [
    ['3', 'hello'],
    ['9', 'hello'],
  ] as const) {
    const session = await connectHttp2(t, port)
    const answer = await request(session, { ':method': 'POST', 'content-length': declared }, body)
    assert.ok(answer.status !== 200)
  }
  assert.equal((await request(await connectHttp2(t, port))).status, 200)
  const complete = upstream.connections.filter(
    ({ received }) => received.startsWith('POST') && received.endsWith('hello'),
  )
  assert.equal(complete.length, 0)
})

test(
  'a client that dies at any moment of the handshake or the request leaves nothing behind',
  TIMEOUT,
  async (t) => {
    const upstream = await startUpstream(t, answering(OK))
    const { port, server } = await startSiteServer(t, [siteOf(upstream.port)])
    for (let i = 0; i < 20; i++) {
      const raw = net.connect(port, '127.0.0.1')
      const secure = tls.connect({ socket: raw, servername: 'a.example', rejectUnauthorized: false })
      secure.on('error', () => {})
      raw.on('error', () => {})
      const die = (): void => void raw.resetAndDestroy()
      if (i < 5) raw.once('connect', die)
      else if (i < 10) secure.once('keylog', die)
      else if (i < 15) secure.once('secureConnect', die)
      else {
        secure.once('secureConnect', () => {
          secure.write('POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 9\r\n\r\nx', die)
        })
      }
      await new Promise((resolve) => raw.once('close', resolve))
    }
    const client = await connectRaw(t, port)
    client.send('GET / HTTP/1.1\r\nHost: a.example\r\n\r\n')
    assert.equal((await client.response()).status, 200)
    client.socket.destroy()
    while (server.connectionCount > 0) await new Promise((resolve) => setTimeout(resolve, 10))
  },
)

function nowMs(): number {
  return performance.now()
}

test(
  'of a head that cannot be sent nothing is left in the answer that is given instead',
  TIMEOUT,
  async (t) => {
    const log = recordingLog([])
    const metrics = new TrafficMetrics()
    const server = new Http1Server(LIMITS, {
      exchange: {
        accessLog: { request: () => {}, upstreamError: () => {}, upstreamRetried: () => {} },
        stalls: new WriteTimeouts(() => 5_000, nowMs, log, metrics),
        nowMs,
      },
      log,
      metrics,
      handle: (exchange) => {
        const status = Number(exchange.head.target.slice(1))
        const headers = ['x-name', 'a\u0001b']
        assert.throws(() => exchange.respond({ status, reason: 'Odd', headers, contentLength: undefined }))
        sendError(exchange, 'UPSTREAM_PROTOCOL')
      },
      isDraining: () => false,
    })
    const listener = net.createServer((socket) => server.adopt(socket, { clientIp: '127.0.0.1' }))
    const port = await listen(t, listener)
    const outcome = async (status: number): Promise<string> => {
      const client = await connectPlain(t, port)
      client.send(`GET /${status} HTTP/1.1\r\nHost: a.example\r\n\r\n`)
      await client.closed()
      return client.received()
    }
    for (const status of [200, 204, 304]) {
      const instead = await outcome(status)
      assert.match(instead, /^HTTP\/1\.1 502 Bad Gateway\r\n[^]*connection: close\r\n[^]*\r\nBad Gateway$/iu)
      assert.doesNotMatch(instead, /x-name/u)
    }
  },
)
