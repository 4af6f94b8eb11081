// What a client sees of its rate limit, whichever protocol it speaks; who is within it is rate-limiter.test.ts.
import assert from 'node:assert/strict'
import http from 'node:http'
import { test } from 'node:test'
import { ADMITTED } from '../../src/ratelimit/limiter.ts'
import { connectHttp2, answerOf, open, request } from '../support/http2/client.ts'
import { connectRaw } from '../../../../test/harness/clients/raw-client.ts'
import { answering, OK, startUpstream } from '../../../../test/harness/raw-upstream.ts'
import { ScriptedLimiter } from '../support/scripted-limiter.ts'
import { siteOf, startSiteServer } from '../support/site-server.ts'
import { listen } from '../../../../test/harness/ports.ts'
import { waitFor } from '../../../../test/harness/wait.ts'

const TIMEOUT = { timeout: 60_000 }
const GET = 'GET /login?x HTTP/1.1\r\nHost: a.example\r\n\r\n'
const WEBSOCKET =
  'GET /ws HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n' +
  'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n'

test(
  'refused: 429, plain text, Retry-After, and one line that names the client; the upstream hears nothing',
  TIMEOUT,
  async (t) => {
    const upstream = await startUpstream(t, answering(OK))
    const limiter = new ScriptedLimiter()
    const { port, logged } = await startSiteServer(t, [siteOf(upstream.port)], {}, limiter)
    limiter.verdict = 3
    const client = await connectRaw(t, port)
    for (const bytes of [GET, GET, WEBSOCKET]) {
      client.send(bytes)
      const { status, head, body } = await client.response()
      assert.deepEqual([status, body], [429, 'Too Many Requests'])
      assert.match(head, /\r\nretry-after: 3\r\n/)
      assert.match(head, /\r\ncontent-type: text\/plain\r\n/)
    }
    await client.closed()
    const session = await connectHttp2(t, port)
    const answer = await request(session, { ':path': '/login?x' })
    assert.deepEqual([answer.status, answer.body], [429, 'Too Many Requests'])
    assert.equal(answer.headers['retry-after'], '3')
    assert.equal((await request(session, { ':method': 'HEAD' })).body, '')
    assert.equal(upstream.connections.length, 0)
    const line = {
      level: 'warn',
      event: 'RATE_LIMIT',
      client_ip: '127.0.0.1',
      host: 'a.example',
      status: 429,
    }
    const lines = logged.filter(({ event }) => event === 'RATE_LIMIT')
    assert.deepEqual(
      lines,
      ['/login?x', '/login?x', '/ws', '/login?x', '/'].map((path) => ({ ...line, path })),
    )
  },
)

test('a refused connection is good for the next request', TIMEOUT, async (t) => {
  const upstream = await startUpstream(t, answering(OK))
  const limiter = new ScriptedLimiter()
  const { port } = await startSiteServer(t, [siteOf(upstream.port)], {}, limiter)
  const client = await connectRaw(t, port)
  limiter.verdict = 1
  const post = 'POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 9\r\n\r\nuser=root'
  for (const bytes of [GET, post, post]) {
    client.send(bytes)
    assert.equal((await client.response()).status, 429)
  }
  limiter.verdict = ADMITTED
  client.send(GET)
  assert.equal((await client.response()).status, 200)
})

test('a site with a limit of its own is asked about by its name, the others together', TIMEOUT, async (t) => {
  const upstream = await startUpstream(t, answering(OK))
  const limiter = new ScriptedLimiter()
  const rateLimit = { requestsPerSecond: 1, burst: 1, scope: 'b.example' }
  const sites = [siteOf(upstream.port), siteOf(upstream.port, { host: 'b.example', rateLimit })]
  const { port } = await startSiteServer(t, sites, {}, limiter)
  const client = await connectRaw(t, port)
  for (const host of ['a.example', 'B.example', 'x.wild.example']) {
    client.send(`GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`)
    await client.response()
  }
  assert.deepEqual(limiter.asked, [
    { scope: '', client: '127.0.0.1' },
    { scope: 'b.example', client: '127.0.0.1' },
  ])
})

test(
  'while it waits for the word a request is held, its body unread; then it is sent whole',
  TIMEOUT,
  async (t) => {
    const bodyBytes = 16 * 1024 * 1024
    const received: number[] = []
    const upstream = http.createServer((req, res) => {
      let bytes = 0
      req.on('data', (chunk: Buffer) => (bytes += chunk.length))
      req.on('end', () => {
        received.push(bytes)
        res.end()
      })
    })
    const upstreamPort = await listen(t, upstream)
    const limiter = new ScriptedLimiter()
    const site = siteOf(upstreamPort, { bodyLimitBytes: bodyBytes })
    const { port } = await startSiteServer(t, [site], {}, limiter)
    limiter.verdict = undefined
    const client = await connectRaw(t, port)
    client.send(`POST /1 HTTP/1.1\r\nHost: a.example\r\nContent-Length: ${bodyBytes}\r\n\r\n`)
    client.send('x'.repeat(bodyBytes))
    const session = await connectHttp2(t, port)
    const stream = open(session, { ':path': '/2', ':method': 'POST' }, false)
    stream.end(Buffer.alloc(bodyBytes))
    await waitFor('both to wait', () => limiter.waiters.length === 2)
    assert.deepEqual(received, [])
    assert.ok(client.socket.writableLength > bodyBytes / 2, 'the body has been read')
    for (const waiter of limiter.waiters) waiter.onRateDecision(ADMITTED)
    assert.equal((await client.response()).status, 200)
    assert.equal((await answerOf(stream)).status, 200)
    assert.deepEqual(received, [bodyBytes, bodyBytes])
  },
)

test('no 100 Continue before the word has come, and none when it is no', TIMEOUT, async (t) => {
  const upstream = await startUpstream(t, answering(OK))
  const limiter = new ScriptedLimiter()
  const { port } = await startSiteServer(t, [siteOf(upstream.port)], {}, limiter)
  limiter.verdict = undefined
  const client = await connectRaw(t, port)
  const head = 'POST / HTTP/1.1\r\nHost: a.example\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n'
  client.send(head)
  await waitFor('it to wait', () => limiter.waiters.length === 1)
  assert.equal(client.received(), '')
  limiter.waiters[0]?.onRateDecision(9)
  assert.equal((await client.response()).status, 429)
})

test('a client that goes while it waits is forgotten, whatever the word', TIMEOUT, async (t) => {
  const upstream = await startUpstream(t, answering(OK))
  const limiter = new ScriptedLimiter()
  const { port, requests } = await startSiteServer(t, [siteOf(upstream.port)], {}, limiter)
  limiter.verdict = undefined
  const client = await connectRaw(t, port)
  client.send(GET)
  const upgrading = await connectRaw(t, port)
  upgrading.send(WEBSOCKET)
  const session = await connectHttp2(t, port)
  const stream = open(session, { ':path': '/' })
  stream.on('error', () => {})
  await waitFor('all to wait', () => limiter.waiters.length === 3)
  client.socket.destroy()
  upgrading.socket.destroy()
  stream.close(8)
  await waitFor('all to be over', () => requests.length === 3)
  for (const [index, waiter] of limiter.waiters.entries()) waiter.onRateDecision(index === 0 ? 1 : ADMITTED)
  assert.deepEqual(
    requests.map(({ status }) => status),
    [499, 499, 499],
  )
  assert.equal(upstream.connections.length, 0)
})

test('over HTTP/1 an answer that waits keeps its place before the next one', TIMEOUT, async (t) => {
  const upstream = await startUpstream(
    t,
    answering(({ line }) => `HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n${line.slice(5, 7)}`),
  )
  const limiter = new ScriptedLimiter()
  const { port } = await startSiteServer(t, [siteOf(upstream.port)], {}, limiter)
  limiter.verdict = undefined
  const client = await connectRaw(t, port)
  client.send('GET /1/ HTTP/1.1\r\nHost: a.example\r\n\r\n')
  await waitFor('it to wait', () => limiter.waiters.length === 1)
  limiter.verdict = 1
  client.send('GET /2/ HTTP/1.1\r\nHost: a.example\r\n\r\n')
  const other = await connectRaw(t, port)
  other.send(GET)
  assert.equal((await other.response()).status, 429)
  limiter.waiters[0]?.onRateDecision(ADMITTED)
  assert.deepEqual([(await client.response()).body, (await client.response()).status], ['1/', 429])
})
