// The plain-HTTP port: challenges, then a redirect, then nothing.
import assert from 'node:assert/strict'
import net from 'node:net'
import { test, type TestContext } from 'node:test'
import type { RequestEntry } from '../../src/observability/access-log-entry.ts'
import { TrafficMetrics } from '../../src/observability/metrics.ts'
import { RedirectServer } from '../../src/listen/redirect-server.ts'
import { ADMITTED } from '../../src/ratelimit/limiter.ts'
import type { ServingMode } from '../../src/tls/sni-policy.ts'
import { recordingLog } from '../support/front.ts'
import { connectPlain } from '../../../../test/harness/clients/raw-client.ts'
import { ScriptedLimiter } from '../support/scripted-limiter.ts'
import { LIMITS, NO_RATE_LIMIT, siteOf } from '../support/site-server.ts'
import { listen } from '../../../../test/harness/ports.ts'
import { waitFor } from '../../../../test/harness/wait.ts'

const TIMEOUT = { timeout: 30_000 }

async function start(
  t: TestContext,
  httpsPort: number,
  mode: ServingMode = 'serve',
  rateLimiter = NO_RATE_LIMIT,
) {
  const requests: RequestEntry[] = []
  const sites = [siteOf(1), siteOf(1, { host: '*.wild.example' })]
  const settings = { sites, limits: { ...LIMITS, requestHeaderTimeoutMs: 1_000 }, httpsPort }
  const server = new RedirectServer(settings, mode, {
    accessLog: {
      request: (entry) => requests.push(entry),
      upstreamError: () => assert.fail(),
      upstreamRetried: () => assert.fail(),
    },
    log: recordingLog([]),
    metrics: new TrafficMetrics(),
    rateLimiter,
    bans: { note: () => {} },
    keyAuthorizationOf: (token) => (token === 'armed' ? 'armed.thumbprint' : undefined),
  })
  const listener = net.createServer((socket) => server.adopt(socket, '127.0.0.1'))
  const port = await listen(t, listener)
  t.after(() => void server.drain(0))
  return { server, port, requests, listener }
}

test('301 to the same host, path and query; the port only when it is not 443', TIMEOUT, async (t) => {
  for (const [httpsPort, suffix] of [
    [443, ''],
    [8443, ':8443'],
  ] as const) {
    const { port, requests } = await start(t, httpsPort)
    const client = await connectPlain(t, port)
    for (const [target, host, location] of [
      ['//x/../y%2F?q=//', 'a.example', `https://a.example${suffix}//x/../y%2F?q=//`],
      ['/', 'A.Example:80', `https://a.example${suffix}/`],
      ['http://a.example/p?q', 'a.example', `https://a.example${suffix}/p?q`],
      ['/', 'b.wild.example.', `https://b.wild.example${suffix}/`],
    ] as const) {
      client.send(`GET ${target} HTTP/1.1\r\nHost: ${host}\r\n\r\n`)
      const { status, head, body } = await client.response()
      assert.deepEqual([status, body], [301, 'Moved Permanently'])
      assert.ok(head.includes(`location: ${location}\r\n`), head)
    }
    assert.deepEqual(requests.map((entry) => [entry.status, entry.host, entry.proto]).at(-1), [
      301,
      'b.wild.example',
      'http/1.1',
    ])
  }
})

test('what is no request for a site: 404, 400, 405, 431, 408', TIMEOUT, async (t) => {
  const { port } = await start(t, 443)
  for (const [bytes, status] of [
    ['GET / HTTP/1.1\r\nHost: x.example\r\n\r\n', 404],
    ['GET / HTTP/1.1\r\n\r\n', 400],
    ['GET / HTTP/1.0\r\n\r\n', 400],
    ['GET / HTTP/1.1\r\nHost: a.example\r\nHost: a.example\r\n\r\n', 400],
    ['GET / HTTP/1.1\r\nHost: a.example/x\r\n\r\n', 400],
    ['GET /#f HTTP/1.1\r\nHost: a.example\r\n\r\n', 400],
    ['nonsense\r\n\r\n', 400],
    ['PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 400],
    ['GET / HTTP/2.0\r\nHost: a.example\r\n\r\n', 400],
    ['CONNECT a.example:443 HTTP/1.1\r\nHost: a.example\r\n\r\n', 405],
    [`GET / HTTP/1.1\r\nHost: a.example\r\nX: ${'x'.repeat(40_000)}\r\n\r\n`, 431],
    [`GET / HTTP/1.1\r\nHost: a.example\r\nX: ${'x'.repeat(80_000)}\r\n\r\n`, 431],
    ['GET / HTTP/1.1\r\nHost: a.example\r\n', 408],
  ] as const) {
    const client = await connectPlain(t, port)
    client.send(bytes)
    assert.equal((await client.response()).status, status, bytes.slice(0, 60))
    if (status !== 404) await client.closed()
  }
})

test('challenges come first, whatever the mode and the host', TIMEOUT, async (t) => {
  const { server, port } = await start(t, 443, 'challenge')
  const client = await connectPlain(t, port)
  const ask = async (path: string, host = 'a.example') => {
    client.send(`GET ${path} HTTP/1.1\r\nHost: ${host}\r\n\r\n`)
    const { status, body } = await client.response()
    return [status, body]
  }
  const armed = '/.well-known/acme-challenge/armed'
  assert.deepEqual(await ask(armed, 'new.example'), [200, 'armed.thumbprint'])
  assert.deepEqual(await ask('/.well-known/acme-challenge/other'), [404, 'Not Found'])
  assert.deepEqual(await ask('/'), [503, 'Service Unavailable'])
  server.setServingMode('serve')
  assert.deepEqual(await ask(armed), [200, 'armed.thumbprint'])
  assert.deepEqual(await ask('/'), [301, 'Moved Permanently'])
})

test('a request with a body is answered, and the connection ends', TIMEOUT, async (t) => {
  const { port } = await start(t, 443)
  const client = await connectPlain(t, port)
  client.send('POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\n\r\nhello')
  const { status, head } = await client.response()
  assert.deepEqual([status, /connection: close/iu.test(head)], [301, true])
  await client.closed()
})

test(
  'a reload takes effect on open connections; a drain lets the next answer say goodbye',
  TIMEOUT,
  async (t) => {
    const { server, port, listener } = await start(t, 443)
    const client = await connectPlain(t, port)
    const get = 'GET / HTTP/1.1\r\nHost: b.example\r\n\r\n'
    client.send(get)
    assert.equal((await client.response()).status, 404)
    server.configure({ sites: [siteOf(1, { host: 'b.example' })], limits: LIMITS, httpsPort: 9 })
    client.send(get)
    assert.match((await client.response()).head, /location: https:\/\/b\.example:9\//u)
    const idle = await connectPlain(t, port)
    idle.send(get)
    assert.equal((await idle.response()).status, 301)
    listener.close()
    const drained = server.drain(5_000)
    client.send(get)
    assert.match((await client.response()).head, /connection: close/iu)
    await Promise.all([client.closed(), idle.closed(), drained])
  },
)

test('a redirect counts against the rate limit, a challenge does not', TIMEOUT, async (t) => {
  const limiter = new ScriptedLimiter()
  limiter.verdict = 7
  const { port } = await start(t, 443, 'serve', limiter)
  const client = await connectPlain(t, port)
  client.send('GET / HTTP/1.1\r\nHost: a.example\r\n\r\n')
  const { status, head, body } = await client.response()
  assert.deepEqual([status, body], [429, 'Too Many Requests'])
  assert.match(head, /\r\nretry-after: 7\r\n/)
  client.send('GET /.well-known/acme-challenge/armed HTTP/1.1\r\nHost: a.example\r\n\r\n')
  assert.equal((await client.response()).status, 200)
  limiter.verdict = undefined
  client.send('GET /p HTTP/1.1\r\nHost: a.example\r\n\r\n')
  await waitFor('the request to wait', () => limiter.waiters.length === 1)
  limiter.waiters[0]?.onRateDecision(ADMITTED)
  assert.equal((await client.response()).status, 301)
  assert.equal(limiter.asked.length, 2)
})

test('a pipeline is answered one at a time, CONNECT in its place', TIMEOUT, async (t) => {
  const limiter = new ScriptedLimiter()
  limiter.verdict = undefined
  const { port } = await start(t, 443, 'serve', limiter)
  const client = await connectPlain(t, port)
  const get = 'GET /p HTTP/1.1\r\nHost: a.example\r\n\r\n'
  client.send(`${get.repeat(21)}CONNECT a.example:443 HTTP/1.1\r\nHost: a.example\r\n\r\n`)
  for (let i = 0; i < 21; i++) {
    await waitFor('the next to wait', () => limiter.waiters.length > i)
    assert.equal(limiter.waiters.length, i + 1)
    limiter.waiters[i]?.onRateDecision(ADMITTED)
    assert.equal((await client.response()).status, 301)
  }
  assert.equal((await client.response()).status, 405)
  await client.closed()
})
