// Trusted proxies are believed about the client of a request; any other client is the peer of its connection.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import net from 'node:net'
import { test, type TestContext } from 'node:test'
import type { ClientSettings } from '@reverse-proxy/shared/config/config'
import { NameResolver } from '@reverse-proxy/shared/names/name-resolver'
import { connectHttp2, request } from '../support/http2/client.ts'
import { connectRaw } from '../../../../test/harness/clients/raw-client.ts'
import {
  answering,
  OK,
  readRequests,
  startUpstream,
  valuesOf,
} from '../../../../test/harness/raw-upstream.ts'
import { waitFor } from '../../../../test/harness/wait.ts'
import { NO_RATE_LIMIT, siteOf, startSiteServer } from '../support/site-server.ts'

const TIMEOUT = { timeout: 30_000 }
const TRUSTING: ClientSettings = {
  trustedProxies: ['127.0.0.0/8'],
  clientIpHeader: undefined,
  proxyProtocol: false,
}
const FIELDS = ['x-real-ip', 'x-forwarded-for', 'x-forwarded-proto', 'x-forwarded-host'] as const

function get(fields = ''): string {
  return `GET / HTTP/1.1\r\nHost: a.example\r\n${fields}\r\n`
}

async function start(t: TestContext, clients: ClientSettings, limits = {}) {
  const upstream = await startUpstream(t, answering(OK))
  const sites = [siteOf(upstream.port, { access: { allow: [], deny: ['198.51.100.0/24'] } })]
  const server = await startSiteServer(t, sites, limits, NO_RATE_LIMIT, new NameResolver(), { clients })
  const received = (): readonly (readonly string[])[] =>
    readRequests(upstream.received()).map((sent) =>
      FIELDS.map((name) => valuesOf(sent.headers, name).join('|')),
    )
  return { ...server, received, sent: () => readRequests(upstream.received()) }
}

test(
  'trusted proxies: the client is who they say, for limits, lists, logs and the upstream',
  TIMEOUT,
  async (t) => {
    const { port, requests, received } = await start(t, TRUSTING)
    const client = await connectRaw(t, port)
    client.send(
      get(
        'X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: shop.example\r\nX-Real-IP: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\n',
      ),
    )
    assert.equal((await client.response()).status, 200)
    client.send(get())
    assert.equal((await client.response()).status, 200)
    // The deny list sees the client, not the proxy.
    client.send(get('X-Forwarded-For: 198.51.100.7\r\n'))
    assert.equal((await client.response()).status, 403)
    const session = await connectHttp2(t, port)
    assert.equal((await request(session, { 'x-forwarded-for': '203.0.113.10, 127.0.0.5' })).status, 200)
    assert.deepEqual(received(), [
      ['203.0.113.9', '1.1.1.1, 203.0.113.9, 127.0.0.1', 'http', 'shop.example'],
      ['127.0.0.1', '127.0.0.1', 'https', 'a.example'],
      ['203.0.113.10', '203.0.113.10, 127.0.0.5, 127.0.0.1', 'https', 'a.example'],
    ])
    assert.deepEqual(
      requests.map(({ clientIp, status }) => [clientIp, status]),
      [
        ['203.0.113.9', 200],
        ['127.0.0.1', 200],
        ['198.51.100.7', 403],
        ['203.0.113.10', 200],
      ],
    )
  },
)

test(
  'client_ip_header: the one field decides; a missing or broken one is the proxy itself',
  TIMEOUT,
  async (t) => {
    const { port, received } = await start(t, { ...TRUSTING, clientIpHeader: 'cf-connecting-ip' })
    const client = await connectRaw(t, port)
    for (const field of [
      'CF-Connecting-IP: 2001:DB8::9\r\n',
      'CF-Connecting-IP: x\r\n',
      'X-Forwarded-For: 203.0.113.9\r\n',
    ]) {
      client.send(get(field))
      assert.equal((await client.response()).status, 200)
    }
    assert.deepEqual(
      received().map(([realIp]) => realIp),
      ['2001:db8::9', '127.0.0.1', '127.0.0.1'],
    )
  },
)

test(
  'request ids: one of a trusted proxy, else a new one; upstream, log and placeholder have the same',
  TIMEOUT,
  async (t) => {
    const upstream = await startUpstream(t, answering(OK))
    const site = siteOf(upstream.port, { responseHeaders: [{ name: 'X-Id', value: '{request_id}' }] })
    const options = [NO_RATE_LIMIT, new NameResolver(), { clients: TRUSTING }] as const
    const { port, requests } = await startSiteServer(t, [site], {}, ...options)
    const fields = [
      'X-Request-Id: 7f/abc.1=\r\ntraceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n',
      '',
      // Two of them, other characters, nothing, and too much.
      'X-Request-Id: a\r\nX-Request-Id: b\r\n',
      'X-Request-Id: a b\r\n',
      'X-Request-Id: \r\n',
      `X-Request-Id: ${'a'.repeat(129)}\r\n`,
    ]
    const client = await connectRaw(t, port)
    const answered: string[] = []
    for (const field of fields) {
      client.send(get(field))
      answered.push(/^x-id: (.*)\r$/imu.exec((await client.response()).head)?.[1] ?? '')
    }
    const sent = readRequests(upstream.received())
    assert.deepEqual(
      sent.map(({ headers }) => valuesOf(headers, 'x-request-id')),
      answered.map((id) => [id]),
    )
    await waitFor('the log lines', () => requests.length === fields.length)
    assert.deepEqual(
      requests.map(({ requestId }) => requestId),
      answered,
    )
    const [theirs, ...ours] = answered
    assert.equal(theirs, '7f/abc.1=')
    for (const id of ours)
      assert.match(id, /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/u)
    assert.equal(new Set(answered).size, fields.length)
    assert.deepEqual(valuesOf(sent[0]?.headers ?? [], 'traceparent'), [
      '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
    ])
  },
)

test('from anyone else the fields are worth nothing', TIMEOUT, async (t) => {
  const { port, received, sent } = await start(t, {
    ...TRUSTING,
    trustedProxies: ['192.0.2.0/24'],
    clientIpHeader: 'x-client',
  })
  const client = await connectRaw(t, port)
  client.send(
    get(
      'X-Forwarded-For: 198.51.100.7\r\nX-Client: 198.51.100.7\r\nX-Forwarded-Proto: http\r\nX-Request-Id: forged\r\nX_Request_Id: forged\r\nRemote-User: root\r\nRemote_User: root\r\n',
    ),
  )
  assert.equal((await client.response()).status, 200)
  assert.deepEqual(received(), [['127.0.0.1', '127.0.0.1', 'https', 'a.example']])
  const [{ headers } = { headers: [] }] = sent()
  assert.equal(headers.filter(([name]) => /^x[-_]request[-_]id$/iu.test(name)).length, 1)
  assert.notEqual(valuesOf(headers, 'x-request-id')[0], 'forged')
})

test('trusted proxies are not counted as one client', TIMEOUT, async (t) => {
  const { port } = await start(t, TRUSTING, { connectionsPerClient: 1 })
  const clients = await Promise.all([connectRaw(t, port), connectRaw(t, port), connectRaw(t, port)])
  for (const client of clients) {
    client.send(get())
    assert.equal((await client.response()).status, 200)
  }
})

test(
  'PROXY protocol: the header names the client of the connection, in one piece or many',
  TIMEOUT,
  async (t) => {
    const { port, received, requests } = await start(t, { ...TRUSTING, proxyProtocol: true })
    const version2 = Buffer.from('0d0a0d0a000d0a515549540a2111000ccb0071090a000001dc0401bb', 'hex')
    for (const header of ['PROXY TCP4 203.0.113.9 10.0.0.1 4711 443\r\n', version2, 'PROXY UNKNOWN\r\n']) {
      const client = await connectRaw(t, port, { proxyHeader: header })
      client.send(get('X-Forwarded-For: 6.6.6.6\r\n'))
      assert.equal((await client.response()).status, 200)
    }
    assert.deepEqual(
      received().map(([realIp]) => realIp),
      ['203.0.113.9', '203.0.113.9', '6.6.6.6'],
    )
    assert.deepEqual(
      requests.map(({ clientIp }) => clientIp),
      ['203.0.113.9', '203.0.113.9', '6.6.6.6'],
    )
  },
)

test(
  'PROXY protocol: TLS without a header, a broken header and a stranger are closed and said',
  TIMEOUT,
  async (t) => {
    const trusting = await start(t, { ...TRUSTING, proxyProtocol: true }, { tlsHandshakeTimeoutMs: 1_500 })
    for (const bytes of ['\u0016\u0003\u0001', 'PROXY TCP4 x\r\n', 'GET / HTTP/1.1\r\n\r\n', 'PROXY']) {
      assert.equal(await answerTo(trusting.port, bytes), '')
    }
    const stranger = await start(t, { ...TRUSTING, trustedProxies: ['192.0.2.1'], proxyProtocol: true })
    assert.equal(await answerTo(stranger.port, 'PROXY UNKNOWN\r\n'), '')
    assert.deepEqual(
      [...trusting.logged, ...stranger.logged].map(({ event, error }) => `${event} ${String(error)}`),
      [
        ...Array.from({ length: 3 }, () => 'CLIENT_ERROR PROXY protocol: no valid header'),
        'CLIENT_ERROR PROXY protocol: no header in time',
        'CLIENT_ERROR PROXY protocol: not a trusted proxy',
      ],
    )
  },
)

/** Everything that is received until the server closes. */
async function answerTo(port: number, bytes: string): Promise<string> {
  const socket = net.connect({ port, host: '127.0.0.1' })
  let received = ''
  socket.on('data', (chunk) => (received += chunk.toString('latin1')))
  socket.on('error', () => {})
  socket.write(bytes, 'latin1')
  await once(socket, 'close')
  return received
}
