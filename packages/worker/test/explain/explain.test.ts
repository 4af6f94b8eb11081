// What an explanation says, and that it sends nothing.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Route, Site } from '@reverse-proxy/shared/config/config'
import type { WorkerConfig } from '@reverse-proxy/shared/ipc/messages'
import { explain } from '../../src/explain/explain.ts'
import type { ExplainedRequest, Explanation } from '../../src/explain/explanation.ts'
import { LIMITS, settingsOf, siteOf } from '../support/site-server.ts'

const HSTS = { name: 'Strict-Transport-Security', value: 'max-age=1' }

function routeOf(path: string, settings: Partial<Route>): Route {
  return { ...settingsOf(4000), match: { path, methods: [], headers: [], query: [] }, ...settings }
}

const SITE: Site = siteOf(3000, {
  responseHeaders: [HSTS],
  routes: [
    routeOf('/api/', {
      ...settingsOf(4000, { stripPrefix: true, addPrefix: '/v2' }),
      requestHeaders: [{ name: 'X-Tenant', value: '{client_ip}' }],
    }),
    routeOf('/admin/', { access: { allow: ['10.0.0.0/8'], deny: [] } }),
    routeOf('/private/', { basicAuth: { file: '/users', forwardsAuthorization: false } }),
    routeOf('/old/', {
      action: { kind: 'redirect', status: 308, target: '/new/', keeps: 'rest' },
      responseHeaders: [HSTS],
    }),
  ],
})

const CONFIG: WorkerConfig = {
  shutdownTimeoutMs: 1,
  logging: { level: 'error', format: 'text', filePath: undefined },
  rateLimit: { requestsPerSecond: 10, burst: 20 },
  limits: LIMITS,
  upstreamRoots: [],
  listeners: [
    {
      id: 'main',
      bindAddrs: ['203.0.113.10'],
      httpPort: 80,
      httpsPort: 443,
      clients: { trustedProxies: ['192.0.2.0/24'], clientIpHeader: undefined, proxyProtocol: false },
      sites: [SITE, siteOf(3001, { host: 'b.example' })],
    },
    { id: 'plain', bindAddrs: ['127.0.0.1'], httpPort: 8080, httpsPort: 0, sites: [siteOf(5000)] },
  ],
}
const CERTIFICATES = [{ listener: 'main', names: ['a.example', '*.wild.example'], description: 'serial 1' }]

function ask(url: string, more: Partial<ExplainedRequest> = {}, banned: readonly string[] = []): Explanation {
  return explain(
    { url, method: 'GET', from: '198.51.100.7', headers: [], ...more },
    { config: CONFIG, certificates: CERTIFICATES, isBanned: (ip) => banned.includes(ip) },
  )
}

/** The step at which it ends, and why. */
function endOf({ steps }: Explanation): string {
  const last = steps.at(-1)
  assert.equal(
    steps.slice(0, -1).every(({ passes }) => passes),
    true,
  )
  return `${last?.step}: ${last?.why}`
}

function statusAndEnd(explanation: Explanation): readonly unknown[] {
  return [explanation.upstream, explanation.response?.status, endOf(explanation)]
}

/** Through the trusted proxy. */
function from(ip: string): Partial<ExplainedRequest> {
  return { from: '192.0.2.9', headers: [['X-Forwarded-For', `10.9.9.9, ${ip}`]] }
}

test('a proxied request: every step, and the head that the upstream would get', () => {
  const explanation = ask('https://a.example/api/./x%20y?z=1', {
    headers: [
      ['X-Tenant', 'forged'],
      ['X-Forwarded-For', '8.8.8.8'],
      ['Accept', '*/*'],
    ],
  })
  assert.deepEqual(
    [explanation.listener, explanation.client, explanation.site, explanation.route, explanation.response],
    ['main', '198.51.100.7', 'a.example', '/api/', null],
  )
  assert.deepEqual(
    explanation.steps.map(({ step, why }) => `${step}: ${why}`),
    [
      'listener: 203.0.113.10 port 443',
      'connection: from 198.51.100.7',
      'certificate: serial 1',
      'parse: host a.example, path /api/./x%20y, which is /api/x y to routes',
      'client: 198.51.100.7, the peer of the connection',
      'route: site a.example',
      'access: every address may use it',
      'rate-limit: would take a token of 198.51.100.7: 10 a second, burst 20, the general one',
      'authenticate: no password is asked for',
      'forward-auth: no service is asked',
      'body-limit: bodies up to 1000000 bytes',
      'action: sent to http://127.0.0.1:4000',
    ],
  )
  const { peers, method, path, headers } = explanation.upstream ?? assert.fail()
  assert.deepEqual([peers, method, path], [['http://127.0.0.1:4000'], 'GET', '/v2/x%20y?z=1'])
  const of = (name: string) =>
    headers.filter(([each]) => each.toLowerCase() === name).map(([, value]) => value)
  assert.deepEqual(
    [of('host'), of('x-tenant'), of('x-forwarded-for'), of('accept'), of('x-forwarded-proto')],
    [['a.example'], ['198.51.100.7'], ['198.51.100.7'], ['*/*'], ['https']],
  )
})

test('what the proxy responds by itself, with the header fields of the site', () => {
  const redirect = ask('https://a.example/old/x?y')
  assert.equal(endOf(redirect), 'action: 308 to /new/x?y')
  assert.equal(redirect.response?.status, 308)
  assert.ok(redirect.response.headers.some(([name]) => name === 'strict-transport-security'))

  const toHttps = ask('http://a.example/x')
  assert.equal(endOf(toHttps), 'action: 301 to https://a.example/x')
  assert.deepEqual(
    toHttps.response?.headers.map(([name]) => name),
    ['location', 'content-type'],
    'no HSTS over plain HTTP',
  )
})

test('where a request ends before it reaches an upstream', () => {
  for (const [explanation, status, end] of [
    [ask('https://a.example/admin/'), 403, 'access: the address is not admitted'],
    [ask('https://a.example/private/'), 401, 'authenticate: a user and password of /users are asked for'],
    [
      ask('https://a.example/x/..%2fadmin/'),
      400,
      'route: a path that can be read in two ways, for different routes',
    ],
    [ask('https://x.wild.example/'), 404, 'route: no site of this listener'],
    [
      ask('https://a.example/', { headers: [['Host', 'b.example']] }),
      421,
      'route: not covered by the certificate of the connection',
    ],
    [
      ask('https://a.example/', {
        headers: [
          ['Content-Length', '1000001'],
          ['Expect', 'x'],
        ],
      }),
      417,
      undefined,
    ],
    [ask('https://a.example/', { headers: [['Content-Length', '1000001']] }), 413, undefined],
    [
      ask('https://b.example/'),
      undefined,
      'certificate: none for b.example, the names are a.example *.wild.example: the handshake is refused',
    ],
    [
      ask('https://a.example:8443/'),
      undefined,
      'listener: nothing listens there on port 8443 for https; it does on: 203.0.113.10 port 443',
    ],
    [
      ask('https://a.example/', {}, ['198.51.100.7']),
      undefined,
      'connection: 198.51.100.7, is banned: closed at once',
    ],
  ] as const) {
    const said = statusAndEnd(explanation)
    assert.deepEqual(said.slice(0, 2), [null, status], String(said[2]))
    if (end !== undefined) assert.equal(said[2], end)
  }
})

test('behind a trusted proxy the client is the one that it names, for access lists and bans', () => {
  const inside = ask('https://a.example/admin/', from('10.1.1.1'))
  assert.deepEqual([inside.client, inside.upstream?.path], ['10.1.1.1', '/admin/'])
  assert.equal(ask('https://a.example/admin/', from('11.1.1.1')).response?.status, 403)
  const banned = ask('https://a.example/', from('10.1.1.1'), ['10.1.1.1', '192.0.2.9'])
  assert.equal(endOf(banned), 'access: the client is banned')
})

test('a password: whose it is goes upstream, and it is taken for right', () => {
  const authorization = `Basic ${Buffer.from('ann:x').toString('base64')}`
  const { steps, upstream } = ask('https://a.example/private/', {
    headers: [['Authorization', authorization]],
  })
  const { why } = steps.find(({ step }) => step === 'authenticate') ?? assert.fail()
  assert.equal(why, 'would check the password of ann in /users; here it is taken for right')
  const names = upstream?.headers.map(([name]) => name.toLowerCase()) ?? []
  assert.deepEqual([names.includes('remote-user'), names.includes('authorization')], [true, false])
})

test('a plain listener has no certificate; an address reaches the listener that is bound to it', () => {
  const plain = ask('http://a.example:8080/x')
  assert.deepEqual(
    [plain.listener, plain.upstream?.peers, plain.steps.some(({ step }) => step === 'certificate')],
    ['plain', ['http://127.0.0.1:5000'], false],
  )
  assert.equal(ask('http://127.0.0.2:8080/').listener, null)
  assert.equal(ask('http://127.0.0.1:8080/').listener, 'plain')
})

test('what is no URL is an error with a hint', () => {
  for (const url of [
    '',
    'a.example',
    'ftp://a.example/',
    'https:///x',
    'https://user@a.example/',
    'https://a:99999/',
  ])
    assert.throws(() => ask(url), { code: 'CONFIG', hint: /https:\/\// }, url)
})
