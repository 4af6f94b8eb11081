// The straight path: what a client asks, what the upstream gets, what the client sees.
import assert from 'node:assert/strict'
import { constants } from 'node:http2'
import { test } from 'node:test'
import { connectHttp2, request } from '../support/http2/client.ts'
import { connectRaw } from '../../../../test/harness/clients/raw-client.ts'
import {
  answering,
  OK,
  readRequests,
  startUpstream,
  valuesOf,
} from '../../../../test/harness/raw-upstream.ts'
import { LIMITS, siteOf, startSiteServer } from '../support/site-server.ts'

const TIMEOUT = { timeout: 30_000 }
const FORWARDED = ['x-real-ip', 'x-forwarded-for', 'x-forwarded-proto', 'x-forwarded-host'] as const

function get(path: string, more = '', host = 'a.example'): string {
  return `GET ${path} HTTP/1.1\r\nHost: ${host}\r\n${more}\r\n`
}

const WEBSOCKET =
  'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n'

function named(name: string): string {
  return `HTTP/1.1 200 OK\r\nContent-Length: ${name.length}\r\n\r\n${name}`
}

function expecting(length: number, host = 'a.example', expect = '100-continue'): string {
  return `POST / HTTP/1.1\r\nHost: ${host}\r\nExpect: ${expect}\r\nContent-Length: ${length}\r\n\r\n`
}

test(
  'HTTP/1.1: path and query go up byte for byte, connections on both sides are kept',
  TIMEOUT,
  async (t) => {
    const upstream = await startUpstream(t, answering(OK))
    const { port, requests } = await startSiteServer(t, [siteOf(upstream.port)])
    const client = await connectRaw(t, port)
    for (const path of ['/', '//x/../y%2F/./?q=a%20b//']) {
      client.send(get(path))
      const { status, body } = await client.response()
      assert.deepEqual([status, body], [200, 'ok'])
    }
    const [first, second] = readRequests(upstream.received())
    assert.equal(second?.line, 'GET //x/../y%2F/./?q=a%20b// HTTP/1.1')
    assert.equal(upstream.connections.length, 1)
    const [entry] = requests
    assert.ok(entry !== undefined && entry.durationMs >= 0)
    assert.deepEqual(entry, {
      site: 'a.example',
      clientIp: '127.0.0.1',
      host: 'a.example',
      method: 'GET',
      path: '/',
      status: 200,
      upstream: `127.0.0.1:${upstream.port}`,
      durationMs: entry.durationMs,
      bytes: 2,
      proto: 'http/1.1',
      requestId: valuesOf(first?.headers ?? [], 'x-request-id')[0] ?? '',
    })
  },
)

test('HTTP/2: :authority becomes Host, cookie crumbs one Cookie, bodies arrive', TIMEOUT, async (t) => {
  const upstream = await startUpstream(t, answering(OK))
  const { port, requests } = await startSiteServer(t, [siteOf(upstream.port)])
  const session = await connectHttp2(t, port)
  const crumbs = { ':authority': 'A.example', ':path': '//p?q', cookie: ['a=1', 'b=2'] }
  for (const [method, body] of [
    ['GET', undefined],
    ['POST', 'hello'],
    ['DELETE', 'x'],
  ] as const) {
    const answer = await request(session, { ...crumbs, ':method': method }, body)
    assert.deepEqual([answer.status, answer.body], [200, 'ok'])
  }
  const [first, second, third] = readRequests(upstream.received())
  assert.equal(first?.line, 'GET //p?q HTTP/1.1')
  assert.deepEqual(valuesOf(first?.headers ?? [], 'host'), ['A.example'])
  assert.deepEqual(valuesOf(first?.headers ?? [], 'cookie'), ['a=1; b=2'])
  assert.equal(second?.body, 'hello')
  assert.equal(third?.body, 'x')
  assert.deepEqual(new Set(requests.map(({ proto, status }) => `${proto} ${status}`)), new Set(['h2 200']))
})

test('a client that offers http/1.0 alone, over TLS, is served over HTTP/1', TIMEOUT, async (t) => {
  const upstream = await startUpstream(t, answering(OK))
  const { port } = await startSiteServer(t, [siteOf(upstream.port)])
  const client = await connectRaw(t, port, { alpn: ['http/1.0'] })
  client.send('GET / HTTP/1.0\r\nHost: a.example\r\n\r\n')
  assert.equal((await client.response()).body, 'ok')
  await client.closed()
})

function cookies(count: number, value: string): string[] {
  return Array.from({ length: count }, (_, i) => `c${i}=${value}`)
}

test('HTTP/2: as many cookies as a browser keeps are one field', TIMEOUT, async (t) => {
  const upstream = await startUpstream(t, answering(OK))
  const { port } = await startSiteServer(t, [siteOf(upstream.port)])
  const session = await connectHttp2(t, port)
  for (const cookie of [cookies(95, 'v'), cookies(200, 'v'.repeat(150)), cookies(256, 'v')]) {
    assert.equal((await request(session, { cookie })).status, 200)
    const sent = readRequests(upstream.received()).at(-1)
    assert.deepEqual(valuesOf(sent?.headers ?? [], 'cookie'), [cookie.join('; ')])
  }
  assert.equal((await request(session, { cookie: cookies(180, 'v'.repeat(200)) })).status, 431)
})

test('HTTP/2: header_bytes may be small, and all of it cookies', TIMEOUT, async (t) => {
  const upstream = await startUpstream(t, answering(OK))
  const { port } = await startSiteServer(t, [siteOf(upstream.port)], { headerBytes: 2_048 })
  const session = await connectHttp2(t, port)
  assert.equal((await request(session, { cookie: cookies(200, 'v') })).status, 200)
})

test('HTTP/2: crumbs without number are not held in memory: their stream is reset', TIMEOUT, async (t) => {
  const upstream = await startUpstream(t, answering(OK))
  const { port } = await startSiteServer(t, [siteOf(upstream.port)])
  const session = await connectHttp2(t, port)
  // Each is a byte on the wire and five in the message, which stays within header_bytes.
  const refused = await request(session, { cookie: cookies(2_000, 'v').fill('a=b') })
  assert.deepEqual([refused.status, refused.resetCode], [Number.NaN, constants.NGHTTP2_ENHANCE_YOUR_CALM])
  assert.equal((await request(session)).status, 200)
  assert.equal(session.remoteSettings?.maxHeaderListSize, 2 * LIMITS.headerBytes)
  assert.equal(readRequests(upstream.received()).length, 1)
})

test(
  "the proxy's own headers are there once, whatever the client sends or names in Connection",
  TIMEOUT,
  async (t) => {
    const upstream = await startUpstream(t, answering(OK))
    const { port } = await startSiteServer(t, [siteOf(upstream.port)])
    const client = await connectRaw(t, port)
    client.send(
      get(
        '/',
        'Connection: keep-alive, X-Forwarded-For, Authorization, X-Secret\r\nConnection: X-Real-IP\r\n' +
          'X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-For: 7.7.7.7\r\nX_Forwarded_For: 8.8.8.8\r\n' +
          'X-Real-IP: 6.6.6.6\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: evil\r\nForwarded: for=6.6.6.6\r\n' +
          'Authorization: x\r\nX-Secret: y\r\nKeep-Alive: timeout=9\r\nProxy-Authorization: z\r\nTE: trailers\r\n' +
          'Trailer: a\r\nUpgrade: h2c\r\nX-Kept: v\r\nAccept: */*\r\n',
      ),
    )
    assert.equal((await client.response()).status, 200)
    const [sent] = readRequests(upstream.received())
    assert.ok(sent !== undefined)
    const names = sent.headers.map(([name]) => name.toLowerCase()).toSorted()
    assert.deepEqual(
      names,
      ['host', 'connection', 'accept', 'x-kept', 'x-request-id', ...FORWARDED].toSorted(),
    )
    assert.deepEqual(
      FORWARDED.map((name) => valuesOf(sent.headers, name)),
      [['127.0.0.1'], ['127.0.0.1'], ['https'], ['a.example']],
    )
  },
)

test("the client sees neither the upstream's Server nor its hop-by-hop headers", TIMEOUT, async (t) => {
  const head =
    'HTTP/1.1 200 Fine\r\nServer: x/1\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=77\r\n' +
    'Proxy-Authenticate: Basic\r\nUpgrade: h2c\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nX-Name: caf\u00e9\r\n'
  const upstream = await startUpstream(t, answering(`${head}Content-Length: 2\r\n\r\nok`))
  const { port } = await startSiteServer(t, [siteOf(upstream.port)])
  const client = await connectRaw(t, port)
  client.send(get('/'))
  const { head: seen } = await client.response()
  assert.match(seen, /^HTTP\/1.1 200 Fine\r\n/u)
  assert.match(seen, /set-cookie: a\r\nset-cookie: b\r\nx-name: caf\u00e9\r\n/u)
  assert.doesNotMatch(seen, /server|x-hop|timeout=77|proxy-authenticate|upgrade/iu)
  const { headers, status } = await request(await connectHttp2(t, port))
  assert.equal(status, 200)
  assert.deepEqual(headers['set-cookie'], ['a', 'b'])
  for (const name of ['server', 'connection', 'x-hop', 'keep-alive', 'upgrade'])
    assert.equal(headers[name], undefined)
})

test('a file name in Content-Disposition keeps its bytes', TIMEOUT, async (t) => {
  const disposition = 'content-disposition: attachment; filename="\u00c3\u00a9.txt"'
  const upstream = await startUpstream(
    t,
    answering(`HTTP/1.1 200 OK\r\nContent-Length: 2\r\n${disposition}\r\n\r\nok`),
  )
  const { port } = await startSiteServer(t, [siteOf(upstream.port)])
  const client = await connectRaw(t, port)
  client.send(get('/'))
  assert.ok((await client.response()).head.includes(disposition))
})

test(
  'routing: exact before wildcard, one label under it, any case, port ignored; 404 and 421',
  TIMEOUT,
  async (t) => {
    const exact = await startUpstream(t, answering(named('exact')))
    const wild = await startUpstream(t, answering(named('wild')))
    const { port } = await startSiteServer(t, [
      siteOf(exact.port, { host: 'a.wild.example' }),
      siteOf(wild.port, { host: '*.wild.example' }),
      siteOf(exact.port, { host: 'not-covered.example' }),
    ])
    const client = await connectRaw(t, port, { serverName: 'a.wild.example' })
    for (const [host, expected] of [
      ['a.wild.example', 'exact'],
      ['A.Wild.Example:8443', 'exact'],
      ['a.wild.example.', 'exact'],
      ['b.wild.example', 'wild'],
      ['c.b.wild.example', 'Not Found'],
      ['wild.example', 'Not Found'],
      ['not-covered.example', 'Misdirected Request'],
    ] as const) {
      client.send(get('/', '', host))
      assert.equal((await client.response()).body, expected, host)
    }
  },
)

test('errors of the proxy are the status text alone', TIMEOUT, async (t) => {
  const { port } = await startSiteServer(t, [siteOf(1)])
  const client = await connectRaw(t, port)
  client.send(get('/', '', 'unknown.example'))
  const { head, body } = await client.response()
  assert.equal(body, 'Not Found')
  const fields = head.split('\r\n').slice(1)
  assert.deepEqual(fields.map((field) => field.split(':')[0]?.toLowerCase()).toSorted(), [
    'connection',
    'content-length',
    'content-type',
    'date',
    'keep-alive',
  ])
  assert.ok(fields.includes('content-type: text/plain'))
  client.send('HEAD / HTTP/1.1\r\nHost: unknown.example\r\n\r\n')
  assert.match((await client.response({ toHead: true })).head, /content-length: 9/u)
  const answer = await request(await connectHttp2(t, port), { ':authority': 'unknown.example' })
  assert.deepEqual([answer.status, answer.body], [404, 'Not Found'])
})

test('HEAD, 204 and 304 have no body and leave both connections usable', TIMEOUT, async (t) => {
  const upstream = await startUpstream(
    t,
    answering(({ line }) => {
      if (line.startsWith('HEAD')) return 'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n'
      return line.includes('204')
        ? 'HTTP/1.1 204 No Content\r\n\r\n'
        : 'HTTP/1.1 304 Not Modified\r\nContent-Length: 100\r\nETag: "x"\r\n\r\n'
    }),
  )
  const { port } = await startSiteServer(t, [siteOf(upstream.port)])
  const client = await connectRaw(t, port)
  const session = await connectHttp2(t, port)
  client.send('HEAD / HTTP/1.1\r\nHost: a.example\r\n\r\n')
  assert.match((await client.response({ toHead: true })).head, /content-length: 100/u)
  client.send(get('/204'))
  assert.equal((await client.response()).status, 204)
  client.send(get('/304'))
  assert.equal((await client.response()).status, 304)
  for (const [method, path, status] of [
    ['HEAD', '/', 200],
    ['GET', '/204', 204],
    ['GET', '/304', 304],
  ] as const) {
    const answer = await request(session, { ':method': method, ':path': path })
    assert.deepEqual([answer.status, answer.body, answer.resetCode], [status, '', 0])
  }
})

test('205 has no content, whatever the upstream sends with it', TIMEOUT, async (t) => {
  const trailer = 'Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 7\r\n\r\n'
  const upstream = await startUpstream(
    t,
    answering(
      ({ line }) =>
        `HTTP/1.1 205 Reset Content\r\n${line.includes('chunked') ? trailer : 'Content-Length: 5\r\n\r\nhello'}`,
    ),
  )
  const { port } = await startSiteServer(t, [siteOf(upstream.port)])
  const client = await connectRaw(t, port)
  const session = await connectHttp2(t, port)
  for (const path of ['/length', '/chunked']) {
    client.send(get(path))
    const first = await client.response()
    assert.deepEqual([first.status, first.body, /content-length: 0/u.test(first.head)], [205, '', true])
    const second = await request(session, { ':path': path })
    assert.deepEqual([second.status, second.body, second.resetCode], [205, '', 0])
  }
  client.send(get('/', WEBSOCKET))
  const refused = await client.response()
  assert.deepEqual([refused.status, refused.body], [205, ''])
  assert.equal(upstream.connections.length, 2)
})

test(
  'interim responses: 103 is passed on, others are not, not even a 100 that nobody asked for',
  TIMEOUT,
  async (t) => {
    const hints = 'HTTP/1.1 103 Early Hints\r\nLink: </s.css>; rel=preload\r\n\r\n'
    const upstream = await startUpstream(
      t,
      answering(`HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n${hints}${OK}`),
    )
    const { port } = await startSiteServer(t, [siteOf(upstream.port)])
    const client = await connectRaw(t, port)
    client.send(get('/'))
    const early = await client.response()
    assert.deepEqual([early.status, early.head.includes('link: </s.css>; rel=preload')], [103, true])
    assert.equal((await client.response()).status, 200)
    client.send('GET / HTTP/1.0\r\nHost: a.example\r\n\r\n')
    assert.equal((await client.response()).status, 200)
    const answer = await request(await connectHttp2(t, port))
    assert.deepEqual(
      answer.informational.map((fields) => [fields[':status'], fields['link']]),
      [[103, '</s.css>; rel=preload']],
    )
    assert.equal(answer.body, 'ok')
  },
)

test('response trailers are passed on; what must not be one is not', TIMEOUT, async (t) => {
  const chunked = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2\r\nok\r\n0\r\n'
  const upstream = await startUpstream(t, answering(`${chunked}X-Sum: 7\r\nSet-Cookie: x\r\n\r\n`))
  const { port } = await startSiteServer(t, [siteOf(upstream.port)])
  const client = await connectRaw(t, port)
  client.send(get('/'))
  const { head, body, trailers } = await client.response()
  assert.match(head, /trailer: X-Sum/u)
  assert.deepEqual([body, trailers], ['ok', 'x-sum: 7'])
  client.send('HEAD / HTTP/1.1\r\nHost: a.example\r\n\r\n')
  assert.doesNotMatch((await client.response({ toHead: true })).head, /trailer/iu)
  const answer = await request(await connectHttp2(t, port))
  assert.deepEqual([answer.body, answer.trailers['x-sum']], ['ok', '7'])
})

test('request trailers are dropped', TIMEOUT, async (t) => {
  const upstream = await startUpstream(t, answering(OK))
  const { port } = await startSiteServer(t, [siteOf(upstream.port)])
  const client = await connectRaw(t, port)
  client.send(
    'POST / HTTP/1.1\r\nHost: a.example\r\nTrailer: X-A\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-A: 1\r\n\r\n',
  )
  assert.equal((await client.response()).status, 200)
  assert.doesNotMatch(upstream.received(), /x-a/iu)
  assert.equal(readRequests(upstream.received())[0]?.body, 'hi')
})

test(
  'Expect: 100-continue is answered here and not passed on; after host, limits and length',
  TIMEOUT,
  async (t) => {
    const upstream = await startUpstream(t, answering(OK))
    const { port } = await startSiteServer(t, [siteOf(upstream.port, { bodyLimitBytes: 10 })])
    const client = await connectRaw(t, port)
    client.send(expecting(2))
    assert.equal((await client.response()).status, 100)
    client.send('hi')
    assert.equal((await client.response()).status, 200)
    const [sent] = readRequests(upstream.received())
    assert.deepEqual(valuesOf(sent?.headers ?? [], 'expect'), [])
    assert.deepEqual(valuesOf(sent?.headers ?? [], 'x-real-ip'), ['127.0.0.1'])
    for (const [head, status] of [
      [expecting(11), 413],
      [expecting(2, 'b.example'), 404],
      [expecting(2, 'a.example', 'x'), 417],
    ] as const) {
      const other = await connectRaw(t, port)
      other.send(head)
      assert.equal((await other.response()).status, status)
      await other.closed()
    }
    const session = await connectHttp2(t, port)
    const answer = await request(session, { ':method': 'POST', expect: '100-continue' }, 'hi')
    assert.deepEqual([answer.status, answer.informational.length <= 1], [200, true])
    assert.equal((await request(session, { ':method': 'POST', expect: 'x' }, 'hi')).status, 417)
  },
)

test('CONNECT is 405 over both protocols', TIMEOUT, async (t) => {
  const { port, requests } = await startSiteServer(t, [siteOf(1)])
  const client = await connectRaw(t, port)
  client.send('CONNECT a.example:443 HTTP/1.1\r\nHost: a.example\r\n\r\n')
  const { status, head } = await client.response()
  assert.deepEqual([status, /allow: GET/u.test(head)], [405, true])
  await client.closed()
  const session = await connectHttp2(t, port)
  const stream = session.request({ ':method': 'CONNECT', ':authority': 'a.example' })
  const answer = await new Promise((resolve) =>
    stream.on('response', (headers) => resolve(headers[':status'])),
  )
  assert.equal(answer, 405)
  assert.ok(requests.every((entry) => entry.status === 405 && entry.method === 'CONNECT'))
})

test('too many headers, or too large: 431 over both protocols', TIMEOUT, async (t) => {
  const upstream = await startUpstream(t, answering(OK))
  const { port } = await startSiteServer(t, [siteOf(upstream.port)], { headerBytes: 4096, headerCount: 20 })
  const many = Array.from({ length: 21 }, (_, i) => `X-${i}: v\r\n`).join('')
  for (const fields of [many, `X-Large: ${'v'.repeat(4096)}\r\n`, `X-Huge: ${'v'.repeat(20_000)}\r\n`]) {
    const client = await connectRaw(t, port)
    client.send(get('/', fields))
    const { status, body } = await client.response()
    assert.deepEqual([status, body], [431, 'Request Header Fields Too Large'])
    await client.closed()
  }
  const session = await connectHttp2(t, port)
  const fields = Object.fromEntries(Array.from({ length: 21 }, (_, i) => [`x-${i}`, 'v']))
  assert.equal((await request(session, fields)).status, 431)
  assert.equal((await request(session, { 'x-large': 'v'.repeat(4096) })).status, 431)
  assert.equal((await request(session)).status, 200)
  assert.equal(readRequests(upstream.received()).length, 1)
})

test('requests_per_connection: the last answer says so, and GOAWAY does', TIMEOUT, async (t) => {
  const upstream = await startUpstream(t, answering(OK))
  const sites = [siteOf(upstream.port)]
  const { port, server } = await startSiteServer(t, sites, { requestsPerConnection: 2 })
  const client = await connectRaw(t, port)
  client.send(get('/1') + get('/2') + get('/3'))
  assert.match((await client.response()).head, /connection: keep-alive/iu)
  assert.match((await client.response()).head, /connection: close/iu)
  await client.closed()
  assert.equal(readRequests(upstream.received()).length, 2)
  const session = await connectHttp2(t, port)
  const goaway = new Promise((resolve) => session.once('goaway', resolve))
  assert.deepEqual([(await request(session)).status, (await request(session)).status], [200, 200])
  assert.equal(await goaway, 0)

  // Fewer than there have been on a connection.
  const limits = { ...LIMITS, keepAliveTimeoutMs: 60_000 }
  server.configure({ sites, limits: { ...limits, requestsPerConnection: 5 } })
  const longer = await connectHttp2(t, port)
  const longerGoaway = new Promise((resolve) => longer.once('goaway', resolve))
  for (let i = 0; i < 3; i++) assert.equal((await request(longer)).status, 200)
  server.configure({ sites, limits: { ...limits, requestsPerConnection: 2 } })
  assert.equal((await request(longer)).status, 200)
  assert.equal(await longerGoaway, 0)
})

test(
  'a reload swaps sites and limits in place; the pool of an unchanged upstream stays',
  TIMEOUT,
  async (t) => {
    const upstream = await startUpstream(t, answering(OK))
    const { port, server } = await startSiteServer(t, [siteOf(upstream.port)])
    const client = await connectRaw(t, port)
    client.send(get('/'))
    assert.equal((await client.response()).status, 200)
    const limits = { ...LIMITS, headerCount: 5 }
    server.configure({
      sites: [siteOf(upstream.port, { requestTimeoutMs: 1 }), siteOf(1, { host: 'b.example' })],
      limits,
    })
    server.configure({ sites: [siteOf(upstream.port)], limits })
    client.send(get('/'))
    assert.equal((await client.response()).status, 200)
    assert.equal(upstream.connections.length, 1)
    client.send(get('/', 'A: 1\r\nB: 1\r\nC: 1\r\nD: 1\r\nE: 1\r\n'))
    assert.equal((await client.response()).status, 431)
  },
)
