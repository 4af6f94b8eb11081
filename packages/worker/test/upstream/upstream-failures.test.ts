// What a failing upstream becomes: a status while there is still a choice, a cut afterwards; and the
// one retry.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test, type TestContext } from 'node:test'
import tls from 'node:tls'
import type { ProxyAction } from '@reverse-proxy/shared/config/config'
import { makeCertificate } from '../support/certificates.ts'
import { answerOf, connectHttp2, open, request } from '../support/http2/client.ts'
import { connectRaw } from '../../../../test/harness/clients/raw-client.ts'
import {
  answering,
  OK,
  readRequests,
  startUpstream,
  type UpstreamConnection,
} from '../../../../test/harness/raw-upstream.ts'
import { LIMITS, siteOf, startSiteServer, testCertificate } from '../support/site-server.ts'
import { freePort, listen } from '../../../../test/harness/ports.ts'
import { waitFor } from '../../../../test/harness/wait.ts'

const TIMEOUT = { timeout: 60_000 }
const GET = 'GET / HTTP/1.1\r\nHost: a.example\r\n\r\n'

function overTls(host: string, port: number, caPem?: string): Pick<ProxyAction, 'upstream'> {
  return { upstream: { kind: 'tcp', scheme: 'https', host, port, caPem } }
}

/** The status that clients of both protocols see, and what is logged about it. */
async function outcomeOf(
  t: TestContext,
  port: number,
  overrides: Parameters<typeof siteOf>[1] = {},
): Promise<{ statuses: number[]; errors: string[] }> {
  const proxy = await startSiteServer(t, [siteOf(port, overrides)])
  const client = await connectRaw(t, proxy.port)
  client.send(GET)
  const first = await client.response()
  const second = await request(await connectHttp2(t, proxy.port))
  return { statuses: [first.status, second.status], errors: proxy.upstreamErrors.map(({ error }) => error) }
}

test('nobody listens: 502', TIMEOUT, async (t) => {
  const { statuses, errors } = await outcomeOf(t, await freePort())
  assert.deepEqual(statuses, [502, 502])
  assert.deepEqual(errors, ['connection refused', 'connection refused'])
})

/** Heads that no two parsers are sure to read alike, or that answer nothing that was asked. */
const UNREADABLE = [
  ['200 OK\r\nTransfer-Encoding: gzip', 'bad response: transfer coding other than chunked'],
  ['200 OK\r\nTransfer-Encoding: gzip, chunked', 'bad response: transfer coding other than chunked'],
  [
    '200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked',
    'bad response: both Content-Length and Transfer-Encoding',
  ],
  ['200 OK\r\nContent-Length: 2\r\nContent-Length: 3', 'bad response: different Content-Length'],
  ['200 OK\r\nContent-Length: +2', 'bad response: Content-Length'],
  ['200 OK\r\nX: a\0b', 'bad response: field value'],
  ['200 OK\r\nX : a', 'bad response: field name'],
  ['200 OK\r\nX: a\n\tb', 'bad response: field line without a colon'],
  ['20 OK', 'bad response: status'],
  ['099 Odd', 'bad response: status'],
  [
    '101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket',
    'bad response: 101 that nobody asked for',
  ],
] as const

test('reset, closed, no HTTP, too large a head: 502', TIMEOUT, async (t) => {
  for (const [behave, error] of [
    [({ socket }: UpstreamConnection) => socket.resetAndDestroy(), 'reset'],
    [({ socket }: UpstreamConnection) => socket.end(), 'closed'],
    [({ socket }: UpstreamConnection) => socket.write('SSH-2.0-x\r\n'), 'bad response: not HTTP/1'],
    ...UNREADABLE.map(
      ([head, words]) =>
        [
          ({ socket }: UpstreamConnection) =>
            socket.write(`HTTP/1.1 ${head}\r\n\r\n2\r\nhi\r\n0\r\n\r\n`, 'latin1'),
          words,
        ] as const,
    ),
    [
      ({ socket }: UpstreamConnection) => socket.write(`HTTP/1.1 200 OK\r\nX: ${'x'.repeat(70_000)}\r\n\r\n`),
      'bad response: header section too large',
    ],
  ] as const) {
    const upstream = await startUpstream(t, behave)
    const outcome = await outcomeOf(t, upstream.port)
    assert.deepEqual(outcome.statuses, [502, 502], error)
    assert.deepEqual(outcome.errors, [error, error])
  }
})

test('any number of interim responses may come before the final one', TIMEOUT, async (t) => {
  const hint = 'HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n'
  const upstream = await startUpstream(t, answering(hint.repeat(20) + OK))
  const { port, upstreamErrors } = await startSiteServer(t, [siteOf(upstream.port)])
  const client = await connectRaw(t, port)
  client.send(GET)
  const statuses: number[] = []
  for (let i = 0; i < 21; i++) statuses.push((await client.response()).status)
  assert.deepEqual(statuses, [...Array.from({ length: 20 }, () => 103), 200])
  const answer = await request(await connectHttp2(t, port))
  assert.deepEqual([answer.status, answer.informational.length], [200, 20])
  assert.deepEqual(upstreamErrors, [])
})

test('a status beyond 599 reaches clients of both protocols', TIMEOUT, async (t) => {
  const upstream = await startUpstream(t, answering('HTTP/1.1 999 Denied\r\nContent-Length: 2\r\n\r\nno'))
  const { statuses, errors } = await outcomeOf(t, upstream.port)
  assert.deepEqual(statuses, [999, 999])
  assert.deepEqual(errors, [])
})

test('no head in time: 504', TIMEOUT, async (t) => {
  const upstream = await startUpstream(t, () => {})
  const { statuses, errors } = await outcomeOf(t, upstream.port, { requestTimeoutMs: 1_000 })
  assert.deepEqual(statuses, [504, 504])
  assert.deepEqual(errors, ['timeout', 'timeout'])
})

test('a head that is always about to come is no head in time: 504', TIMEOUT, async (t) => {
  for (const [beginning, piece] of [
    ['', 'HTTP/1.1 102 Processing\r\n\r\n'],
    ['HTTP/1.1 200 OK\r\nX: ', 'y'],
  ] as const) {
    const upstream = await startUpstream(t, ({ socket }) => {
      socket.write(beginning)
      const pieces = setInterval(() => socket.write(piece), 100)
      socket.once('close', () => clearInterval(pieces))
    })
    const { statuses, errors } = await outcomeOf(t, upstream.port, { requestTimeoutMs: 1_000 })
    assert.deepEqual(statuses, [504, 504])
    assert.deepEqual(errors, ['timeout', 'timeout'])
  }
})

test('hints without end do not pile up for a client that does not read them', TIMEOUT, async (t) => {
  const hint = `HTTP/1.1 103 Early Hints\r\nLink: ${'x'.repeat(8_000)}\r\n\r\n`
  const upstream = await startUpstream(t, answering(hint.repeat(100) + OK))
  const { port } = await startSiteServer(t, [siteOf(upstream.port)])
  const client = await connectRaw(t, port)
  client.send(GET)
  const statuses: number[] = []
  while (statuses.at(-1) !== 200) statuses.push((await client.response()).status)
  assert.equal(statuses.length, 9)
  const answer = await request(await connectHttp2(t, port))
  assert.deepEqual([answer.status, answer.informational.length], [200, 8])
})

test('no TLS from the upstream in time: 504; none at all: 502', TIMEOUT, async (t) => {
  const silent = await startUpstream(t, () => {})
  const slow = await outcomeOf(t, silent.port, {
    connectTimeoutMs: 1_000,
    ...overTls('127.0.0.1', silent.port),
  })
  assert.deepEqual(slow.statuses, [504, 504])
  assert.deepEqual(slow.errors, ['connect timeout', 'connect timeout'])
  const plain = await startUpstream(t, ({ socket }) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'))
  const none = await outcomeOf(t, plain.port, overTls('127.0.0.1', plain.port))
  assert.deepEqual(none.statuses, [502, 502])
  assert.match(none.errors[0] ?? '', /^tls: /u)
})

test("an https upstream is verified against its own name and the site's roots", TIMEOUT, async (t) => {
  const good = makeCertificate(['localhost'])
  const names: unknown[] = []
  const server = tls.createServer({ cert: good.certPem, key: good.keyPem }, (socket) => {
    names.push(socket.servername)
    socket.on('error', () => {})
    socket.on('data', () => socket.write(OK))
  })
  const port = await listen(t, server)
  const trusted = await outcomeOf(t, port, overTls('localhost', port, good.certPem))
  assert.deepEqual(trusted.statuses, [200, 200])
  assert.deepEqual(new Set(names), new Set(['localhost']))
  const untrusted = await outcomeOf(t, port, overTls('localhost', port, undefined))
  assert.deepEqual(untrusted.statuses, [502, 502])
  assert.equal(untrusted.errors[0], 'tls: DEPTH_ZERO_SELF_SIGNED_CERT')
  const misnamed = await outcomeOf(t, port, overTls('127.0.0.1', port, good.certPem))
  assert.equal(misnamed.errors[0], 'tls: ERR_TLS_CERT_ALTNAME_INVALID')
  const other = await outcomeOf(t, port, overTls('localhost', port, testCertificate().certPem))
  assert.deepEqual(other.statuses, [502, 502])
})

const CUT: readonly (readonly [name: string, head: string])[] = [
  ['a declared length', 'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nseven b'],
  ['chunks', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7\r\nseven b\r\n'],
  [
    'an event stream',
    'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n9\r\ndata: x\n\n\r\n',
  ],
]

for (const [name, partial] of CUT) {
  for (const ending of ['closed', 'reset'] as const) {
    test(`an upstream that is ${ending} within ${name}: cut for the client, too`, TIMEOUT, async (t) => {
      let cut: (() => void) | undefined
      const upstream = await startUpstream(t, ({ socket }) => {
        socket.write(partial)
        cut = () => void (ending === 'reset' ? socket.resetAndDestroy() : socket.end())
      })
      const { port, upstreamErrors, requests } = await startSiteServer(t, [siteOf(upstream.port)])
      const client = await connectRaw(t, port)
      client.send(GET)
      await client.until((text) => /seven b|data: x/u.test(text))
      cut?.()
      await client.closed()
      assert.doesNotMatch(client.received(), /\r\n0\r\n/u)
      const session = await connectHttp2(t, port)
      const stream = open(session, { ':path': '/' })
      const answer = answerOf(stream)
      await once(stream, 'data')
      cut?.()
      assert.notEqual((await answer).resetCode, 0)
      assert.equal((await request(session, { ':authority': 'unknown.example' })).status, 404)
      assert.deepEqual(
        upstreamErrors.map(({ error }) => error),
        ['truncated', 'truncated'],
      )
      assert.deepEqual(requests.map(({ status }) => status).slice(0, 2), [200, 200])
    })
  }
}

test('silence within the body: cut after the request timeout', TIMEOUT, async (t) => {
  const upstream = await startUpstream(t, ({ socket }) => {
    socket.write('HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx')
  })
  const { port, upstreamErrors } = await startSiteServer(t, [
    siteOf(upstream.port, { requestTimeoutMs: 1_000 }),
  ])
  const client = await connectRaw(t, port)
  client.send(GET)
  await client.closed()
  assert.match(client.received(), /x$/u)
  assert.deepEqual(upstreamErrors, [
    { host: 'a.example', upstream: `127.0.0.1:${upstream.port}`, error: 'timeout' },
  ])
})

/** Answers the first request of each connection, and closes on the second without a byte. */
function closingOnReuse(counted: { requests: string[] }) {
  const served = new WeakSet<UpstreamConnection>()
  return (connection: UpstreamConnection): void => {
    const requests = readRequests(connection.received)
    counted.requests.push(requests.at(-1)?.line ?? '')
    if (served.has(connection)) connection.socket.resetAndDestroy()
    else connection.socket.write(OK)
    served.add(connection)
  }
}

test('a GET that dies on a reused connection is sent once more, on a fresh one', TIMEOUT, async (t) => {
  const counted: { requests: string[] } = { requests: [] }
  const upstream = await startUpstream(t, closingOnReuse(counted))
  const { port, requests, upstreamErrors } = await startSiteServer(t, [siteOf(upstream.port)])
  const client = await connectRaw(t, port)
  client.send(GET)
  assert.equal((await client.response()).status, 200)
  client.send(GET)
  assert.equal((await client.response()).status, 200)
  assert.equal(counted.requests.length, 3)
  assert.deepEqual([requests.length, upstreamErrors.length], [2, 0])
})

test('what is not safe to repeat, or was on a fresh connection, is not sent again', TIMEOUT, async (t) => {
  const counted: { requests: string[] } = { requests: [] }
  const upstream = await startUpstream(t, closingOnReuse(counted))
  const { port } = await startSiteServer(t, [siteOf(upstream.port)])
  const client = await connectRaw(t, port)
  for (const unsafe of [
    'POST / HTTP/1.1\r\nHost: a.example\r\n\r\n',
    'PUT / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 1\r\n\r\nx',
  ]) {
    counted.requests.length = 0
    client.send(GET)
    assert.equal((await client.response()).status, 200)
    client.send(unsafe)
    assert.equal((await client.response()).status, 502)
    assert.equal(counted.requests.length, 2)
  }
  let count = 0
  const never = await startUpstream(t, ({ socket }) => {
    count += 1
    socket.resetAndDestroy()
  })
  assert.deepEqual((await outcomeOf(t, never.port)).statuses, [502, 502])
  assert.equal(count, 2)
})

test('a request that had a byte of an answer is not sent again', TIMEOUT, async (t) => {
  let count = 0
  const upstream = await startUpstream(t, ({ socket }) => {
    count += 1
    if (count === 1) socket.write(OK)
    else socket.write('HTTP/1.1 2', () => socket.resetAndDestroy())
  })
  const { port } = await startSiteServer(t, [siteOf(upstream.port)])
  const client = await connectRaw(t, port)
  client.send(GET + GET)
  assert.deepEqual([(await client.response()).status, (await client.response()).status], [200, 502])
  assert.ok(count <= 3)
})

test('what an upstream sends on an idle connection is never used', TIMEOUT, async (t) => {
  const poison = 'HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison'
  let first = true
  const upstream = await startUpstream(t, ({ socket }) => {
    socket.write(first ? OK + poison : OK)
    first = false
  })
  const { port } = await startSiteServer(t, [siteOf(upstream.port)])
  const client = await connectRaw(t, port)
  for (let i = 0; i < 3; i++) {
    client.send(GET)
    assert.equal((await client.response()).body, 'ok')
  }
  assert.equal(upstream.connections.length, 2)
})

test(
  'an upstream that announces a body where there is none is not asked again on that connection',
  TIMEOUT,
  async (t) => {
    for (const framing of ['Content-Length: 44', 'Transfer-Encoding: chunked']) {
      let isFirst = true
      const upstream = await startUpstream(t, ({ socket }) => {
        socket.write(isFirst ? `HTTP/1.1 204 No Content\r\n${framing}\r\n\r\n` : OK)
        if (isFirst) setTimeout(() => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison'), 50)
        isFirst = false
      })
      const { port } = await startSiteServer(t, [siteOf(upstream.port)])
      const client = await connectRaw(t, port)
      client.send(GET + GET)
      assert.equal((await client.response()).status, 204)
      assert.equal((await client.response()).body, 'ok')
      assert.equal(upstream.connections.length, 2)
    }
  },
)

test(
  'a POST on a connection that has just been closed goes to another: nobody has read it',
  TIMEOUT,
  async (t) => {
    const upstream = await startUpstream(t, (connection) => {
      const [first, second] = readRequests(connection.received)
      if (first === undefined || second !== undefined) return
      connection.socket.write(OK)
      if (upstream.connections.length === 1) connection.socket.end()
    })
    const { port, requests } = await startSiteServer(t, [siteOf(upstream.port)])
    const client = await connectRaw(t, port)
    const post = 'POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 2\r\n\r\nhi'
    client.send(post + post)
    assert.equal((await client.response()).status, 200)
    assert.equal((await client.response()).status, 200)
    assert.deepEqual(
      upstream.connections.map(({ received }) => readRequests(received).length),
      [1, 1],
    )
    assert.deepEqual(
      requests.map(({ status }) => status),
      [200, 200],
    )
  },
)

test(
  'the queue of an upstream: first come, first served; when full, 503 with Retry-After',
  TIMEOUT,
  async (t) => {
    const waiting: UpstreamConnection[] = []
    const upstream = await startUpstream(t, (connection) => void waiting.push(connection))
    const { port, upstreamErrors } = await startSiteServer(t, [siteOf(upstream.port)], {
      upstreamConnectionsPerSite: 1,
      http2Streams: 2000,
    })
    const session = await connectHttp2(t, port)
    const answers = Array.from({ length: 1026 }, async () => await request(session))
    const { status, headers } = await Promise.race(answers)
    assert.deepEqual([status, headers['retry-after']], [503, '1'])
    assert.deepEqual(
      upstreamErrors.map(({ error }) => error),
      ['queue full'],
    )
    assert.equal(waiting.length, 1)
    upstream.connections[0]?.socket.on('data', () => {})
    waiting[0]?.socket.write(OK)
    assert.equal((await answers[0])?.status, 200)
  },
)

test('waiting for a connection in vain: 504', TIMEOUT, async (t) => {
  const upstream = await startUpstream(t, () => {})
  const site = siteOf(upstream.port, { connectTimeoutMs: 1_000 })
  const { port, upstreamErrors } = await startSiteServer(t, [site], { upstreamConnectionsPerSite: 1 })
  const session = await connectHttp2(t, port)
  void request(session)
  assert.equal((await request(session)).status, 504)
  // The upstream itself is well.
  assert.deepEqual(
    upstreamErrors.map(({ error }) => error),
    ['queue timeout'],
  )
})

test('streams do not use up the turns of a site', TIMEOUT, async (t) => {
  const upstream = await startUpstream(
    t,
    answering(({ line }) =>
      line.includes('/stream')
        ? 'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n'
        : OK,
    ),
  )
  const { port } = await startSiteServer(t, [siteOf(upstream.port)], { upstreamConnectionsPerSite: 1 })
  const session = await connectHttp2(t, port)
  for (let i = 0; i < 5; i++) await once(open(session, { ':path': '/stream' }), 'response')
  assert.equal((await request(session)).status, 200)
  assert.equal(upstream.connections.length, 6)
})

test(
  'upstream_max_connections bounds streams, too; who waits in vain for a connection gets 503',
  TIMEOUT,
  async (t) => {
    const upstream = await startUpstream(
      t,
      answering('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n'),
    )
    const site = siteOf(upstream.port, { connectTimeoutMs: 1_000 })
    const { port, upstreamErrors } = await startSiteServer(t, [site], { upstreamMaxConnections: 1 })
    const session = await connectHttp2(t, port)
    const stream = open(session, {})
    await once(stream, 'response')
    const refused = await request(session)
    assert.deepEqual([refused.status, refused.headers['retry-after']], [503, '1'])
    assert.deepEqual(
      upstreamErrors.map(({ error }) => error),
      ['max connections'],
    )
    assert.equal(upstream.connections.length, 1)
    const next = open(session, {})
    stream.close()
    assert.equal((await once(next, 'response'))[0][':status'], 200)
  },
)

test(
  'the queue when a reload makes more room for it, or less: in order, and no more than that',
  TIMEOUT,
  async (t) => {
    const upstream = await startUpstream(t, () => {})
    const sites = [siteOf(upstream.port)]
    const limits = { ...LIMITS, upstreamConnectionsPerSite: 1 }
    const { port, server } = await startSiteServer(t, sites, limits)
    const session = await connectHttp2(t, port)
    const paths = (): (string | undefined)[] =>
      upstream.connections.map(({ received }) => readRequests(received).at(-1)?.line.split(' ')[1])
    const answers = ['/1', '/2', '/3', '/4'].map(async (path) => await request(session, { ':path': path }))
    await waitFor('the first', () => upstream.received().includes('/1'))
    server.configure({ sites, limits: { ...limits, upstreamConnectionsPerSite: 2 } })
    await waitFor('the second', () => upstream.received().includes('/2'))
    assert.deepEqual(paths(), ['/1', '/2'])
    server.configure({ sites, limits })
    upstream.connections[0]?.socket.write(OK)
    assert.equal((await answers[0])?.status, 200)
    await waitFor('one to be let go', () => upstream.connections.some(({ socket }) => socket.closed))
    upstream.connections[1]?.socket.resetAndDestroy()
    assert.equal((await answers[1])?.status, 502)
    await waitFor('the third', () => upstream.received().includes('/3'))
    assert.deepEqual(paths(), ['/1', '/2', '/3'])
    upstream.connections[2]?.socket.write(OK)
    await waitFor('the fourth', () => upstream.received().includes('/4'))
    assert.deepEqual(paths(), ['/1', '/2', '/4'])
  },
)
