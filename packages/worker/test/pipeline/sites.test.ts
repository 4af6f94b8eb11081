// Sites with several hosts, routes, redirects, fixed responses and header fields of their own: what the client sees and
// what the upstream receives, over HTTP/1.1 and HTTP/2.
import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import type { Action, Route, RouteMatch } from '@reverse-proxy/shared/config/config'
import { connectHttp2, request } from '../support/http2/client.ts'
import { connectRaw } from '../../../../test/harness/clients/raw-client.ts'
import {
  answering,
  OK,
  readRequests,
  startUpstream,
  valuesOf,
} from '../../../../test/harness/raw-upstream.ts'
import { LIMITS, settingsOf, siteOf, startSiteServer, type SiteOptions } from '../support/site-server.ts'

const TIMEOUT = { timeout: 60_000 }

function route(
  path: string,
  port: number,
  { match, ...options }: Omit<SiteOptions, 'host' | 'routes'> & { readonly match?: Partial<RouteMatch> } = {},
): Route {
  return { ...settingsOf(port, options), match: { path, methods: [], headers: [], query: [], ...match } }
}

interface Seen {
  readonly status: number
  readonly headers: Readonly<Record<string, unknown>>
  readonly body: string
}

/** GETs over both protocols, which have to agree on status, Location, Content-Type, X-Site and body. */
async function ask(t: TestContext, port: number, path: string): Promise<Seen> {
  const client = await connectRaw(t, port)
  client.send(`GET ${path} HTTP/1.1\r\nHost: a.example\r\n\r\n`)
  const { status, head, body } = await client.response()
  client.socket.destroy()
  const session = await connectHttp2(t, port)
  const over2 = await request(session, { ':path': path })
  session.destroy()
  assert.deepEqual([over2.status, over2.body], [status, body])
  for (const name of ['location', 'content-type', 'x-site']) {
    const value = new RegExp(`^${name}: (.*)$`, 'imu').exec(head)?.[1]?.trim()
    assert.equal(over2.headers[name], value, name)
  }
  return { status, headers: over2.headers, body }
}

const redirect = (target: string, keeps: 'path' | 'rest' | 'nothing', status = 308): Action => ({
  kind: 'redirect',
  status,
  target,
  keeps,
})
const respond = (status: number, body: string, contentType = 'text/plain'): Action => ({
  kind: 'respond',
  status,
  body,
  contentType,
})

test('routes go to their upstreams, with the bytes that came or another path', TIMEOUT, async (t) => {
  const main = await startUpstream(t, answering(OK))
  const api = await startUpstream(t, answering(OK))
  const site = siteOf(main.port, {
    routes: [
      route('/api/', api.port, { stripPrefix: true }),
      route('/v2/', api.port, { stripPrefix: true, addPrefix: '/next' }),
      route('/raw/', api.port),
      route('/login', api.port, { match: { methods: ['POST'] } }),
    ],
  })
  const { port, requests } = await startSiteServer(t, [{ ...site, hosts: ['a.example', 'b.example'] }])
  const client = await connectRaw(t, port)
  for (const [path, upstream, received] of [
    ['/x%2Fy/../?q=%41', main, '/x%2Fy/../?q=%41'],
    ['/api/a%20b/?x=/', api, '/a%20b/?x=/'],
    ['/api', api, '/'],
    ['/api?x', api, '/?x'],
    ['/%61pi//x%41', api, '/xA'],
    ['/api//evil.example/x', api, '/evil.example/x'],
    ['/v2/x', api, '/next/x'],
    ['/raw//x/./%41', api, '/raw//x/./%41'],
    ['/login', main, '/login'],
  ] as const) {
    const before = readRequests(upstream.received()).length
    client.send(`GET ${path} HTTP/1.1\r\nHost: ${before % 2 === 0 ? 'a' : 'b'}.example\r\n\r\n`)
    assert.equal((await client.response()).status, 200)
    assert.equal(readRequests(upstream.received())[before]?.line, `GET ${received} HTTP/1.1`)
  }
  client.send('POST /login HTTP/1.1\r\nHost: b.example\r\nContent-Length: 0\r\n\r\n')
  assert.equal((await client.response()).status, 200)
  assert.ok(readRequests(api.received()).some(({ line }) => line === 'POST /login HTTP/1.1'))
  assert.ok(requests.every((entry) => entry.site === 'a.example'))

  client.send('GET /x/..%2fapi/x HTTP/1.1\r\nHost: a.example\r\n\r\n')
  assert.equal((await client.response()).status, 400)
})

test('redirects: path and query kept, what follows the path of the route, or neither', TIMEOUT, async (t) => {
  const site = siteOf(1, {
    action: redirect('https://new.example', 'path'),
    routes: [
      route('/old/', 1, { action: redirect('/new/', 'rest') }),
      route('/gone/', 1, { action: redirect('https://x.example/', 'rest', 301) }),
      route('/help', 1, { action: redirect('/docs?from=help', 'nothing', 302) }),
      route('/all/', 1, { action: redirect('/', 'rest') }),
    ],
  })
  const { port } = await startSiteServer(t, [site])
  for (const [path, status, location] of [
    ['/', 308, 'https://new.example/'],
    ['//x/../y%20z?a=b', 308, 'https://new.example//x/../y%20z?a=b'],
    ['/old/', 308, '/new/'],
    ['/old', 308, '/new/'],
    ['/old/a%20b/c?x=1', 308, '/new/a%20b/c?x=1'],
    ['/gone/y', 301, 'https://x.example/y'],
    ['/help?q', 302, '/docs?from=help'],
    // It would be another host's.
    ['/all//evil.example', 308, '/evil.example'],
    ['/all/%2f%2fevil.example', 308, '/evil.example'],
    ['/all/\\evil.example', 308, '/%5Cevil.example'],
  ] as const) {
    const seen = await ask(t, port, path)
    assert.deepEqual([seen.status, seen.headers['location']], [status, location], path)
  }
})

test('fixed responses: status, type and body; a HEAD and a 204 have none', TIMEOUT, async (t) => {
  const json = '{"m.server":"m.example.com:443"}'
  const site = siteOf(1, {
    action: respond(404, 'Nothing h\u00e9re.', 'text/plain; charset=utf-8'),
    routes: [
      route('/.well-known/matrix/server', 1, { action: respond(200, json, 'application/json') }),
      route('/empty', 1, { action: respond(204, '') }),
    ],
  })
  const { port } = await startSiteServer(t, [site])
  const known = await ask(t, port, '/.well-known/matrix/server')
  assert.deepEqual([known.status, known.body, known.headers['content-type']], [200, json, 'application/json'])
  const other = await ask(t, port, '/x')
  assert.deepEqual([other.status, Buffer.from(other.body, 'latin1').toString()], [404, 'Nothing h\u00e9re.'])
  assert.equal((await ask(t, port, '/empty')).status, 204)
  const client = await connectRaw(t, port)
  client.send('HEAD / HTTP/1.1\r\nHost: a.example\r\n\r\n')
  assert.match((await client.response({ toHead: true })).head, /^HTTP\/1\.1 404 [\s\S]*content-length: 14/iu)
})

test(
  'request_headers: set, removed, with placeholders; no client can send what is set',
  TIMEOUT,
  async (t) => {
    const upstream = await startUpstream(t, answering(OK))
    const site = siteOf(upstream.port, {
      requestHeaders: [
        { name: 'Host', value: 'inner.example' },
        { name: 'X-Tenant', value: '{client_ip}/{host}/{scheme}' },
        { name: 'X-Id', value: '{request_id}' },
        { name: 'Cookie', value: '' },
      ],
      routes: [route('/plain/', upstream.port)],
    })
    const { port } = await startSiteServer(t, [site])
    const client = await connectRaw(t, port)
    const spoofed =
      'x-tenant: me\r\nX_Tenant: me\r\nCookie: a=b\r\nConnection: X-Tenant\r\ntraceparent: 00-ab-cd-01\r\n'
    for (const path of ['/', '/', '/plain/']) {
      client.send(`GET ${path} HTTP/1.1\r\nHost: A.example\r\n${spoofed}\r\n`)
      await client.response()
    }
    const [first, second, plain] = readRequests(upstream.received())
    assert.ok(first !== undefined && second !== undefined && plain !== undefined)
    assert.deepEqual(valuesOf(first.headers, 'host'), ['inner.example'])
    assert.deepEqual(valuesOf(first.headers, 'x-forwarded-host'), ['A.example'])
    assert.deepEqual(valuesOf(first.headers, 'x-tenant'), ['127.0.0.1/a.example/https'])
    assert.deepEqual(valuesOf(first.headers, 'x_tenant'), [])
    assert.deepEqual(valuesOf(first.headers, 'cookie'), [])
    assert.deepEqual(valuesOf(first.headers, 'traceparent'), ['00-ab-cd-01'])
    const [id] = valuesOf(first.headers, 'x-id')
    assert.match(id ?? '', /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/u)
    assert.notDeepEqual(valuesOf(second.headers, 'x-id'), [id])
    assert.deepEqual(valuesOf(plain.headers, 'cookie'), ['a=b'])
    assert.deepEqual(valuesOf(plain.headers, 'host'), ['A.example'])
  },
)

test('response_headers: on every response of the site, whoever makes it', TIMEOUT, async (t) => {
  const powered = OK.replace('\r\n\r\n', '\r\nX-Powered-By: PHP\r\nX-Site: theirs\r\n\r\n')
  const upstream = await startUpstream(t, answering(powered))
  const responseHeaders = [
    { name: 'X-Site', value: '{host} {scheme}' },
    { name: 'X-Powered-By', value: '' },
    { name: 'Strict-Transport-Security', value: 'max-age=1' },
  ]
  const site = siteOf(upstream.port, {
    responseHeaders,
    routes: [
      route('/down/', 1, { responseHeaders }),
      route('/moved', 1, { responseHeaders, action: redirect('/x', 'nothing') }),
      route('/small', upstream.port, { responseHeaders, bodyLimitBytes: 1 }),
    ],
  })
  const { port } = await startSiteServer(t, [site])
  for (const [path, status] of [
    ['/', 200],
    ['/down/x', 502],
    ['/moved', 308],
    ['/x/..%2fdown/', 400],
  ] as const) {
    const seen = await ask(t, port, path)
    assert.equal(seen.status, status, path)
    assert.equal(seen.headers['x-site'], 'a.example https')
    assert.equal(seen.headers['strict-transport-security'], 'max-age=1')
    assert.equal(seen.headers['x-powered-by'], undefined)
  }
  const posting = await connectRaw(t, port)
  posting.send('POST /small HTTP/1.1\r\nHost: a.example\r\nContent-Length: 2\r\n\r\n')
  assert.match((await posting.response()).head, /^HTTP\/1\.1 413 [\s\S]*x-site: a\.example https/iu)
  const client = await connectRaw(t, port)
  client.send(
    'GET /down/ HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
  )
  assert.match((await client.response()).head, /^HTTP\/1\.1 502 [\s\S]*x-site: a\.example https/iu)
})

test(
  'reload: routes, actions and header fields change in place, for the next request',
  TIMEOUT,
  async (t) => {
    const upstream = await startUpstream(t, answering(OK))
    const before = siteOf(upstream.port, { routes: [route('/r', 1, { action: respond(200, 'one') })] })
    const { port, server } = await startSiteServer(t, [before])
    const client = await connectRaw(t, port)
    const get = async (path: string): Promise<string> => {
      client.send(`GET ${path} HTTP/1.1\r\nHost: a.example\r\n\r\n`)
      return (await client.response()).body
    }
    assert.deepEqual([await get('/r'), await get('/')], ['one', 'ok'])
    const after = siteOf(upstream.port, { routes: [route('/', 1, { action: respond(200, 'two') })] })
    server.configure({ sites: [after], limits: LIMITS })
    assert.deepEqual([await get('/r'), await get('/')], ['two', 'two'])
    server.configure({ sites: [before], limits: LIMITS })
    assert.deepEqual([await get('/r'), await get('/')], ['one', 'ok'])
    assert.equal(upstream.connections.length, 1, 'the connections to an upstream that stays are kept')
  },
)
