// Values of the configuration that have a syntax of their own: what each means, and what is wrong with the others.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Listener, Site } from '../src/config/config.ts'
import { hasTls, proxyActionsOf, settingsOf, siteNameOf, upstreamsOf } from '../src/config/sites.ts'
import { parseAuthUrl } from '../src/config/sites/forward-auth.ts'
import { headerFault, parseTemplate } from '../src/config/sites/header-changes.ts'
import { parseRedirect } from '../src/config/sites/redirect.ts'
import { plural } from '../src/plural.ts'

test('the URL of forward_auth: scheme, host, port, authority and path', () => {
  assert.deepEqual(parseAuthUrl('http://127.0.0.1:9091/api/authz/forward-auth'), {
    scheme: 'http',
    host: '127.0.0.1',
    port: 9091,
    authority: '127.0.0.1:9091',
    path: '/api/authz/forward-auth',
  })
  assert.deepEqual(parseAuthUrl('HTTPS://Auth.Example?x=é'), {
    scheme: 'https',
    host: 'auth.example',
    port: 443,
    authority: 'auth.example',
    path: '/?x=%C3%A9',
  })
  assert.deepEqual(parseAuthUrl('http://[::1]/x'), {
    scheme: 'http',
    host: '::1',
    port: 80,
    authority: '[::1]',
    path: '/x',
  })
  for (const text of [
    '127.0.0.1:9091/x',
    'ftp://a.example/',
    'http://',
    'http://ann:x@a.example/',
    'http://a.example/#x',
    '',
  ]) {
    assert.ok('message' in parseAuthUrl(text), text)
  }
})

test('header fields: names, values and placeholders', () => {
  assert.deepEqual(parseTemplate('a {client_ip}{request_id} {x}'), [
    'a ',
    { placeholder: 'client_ip' },
    { placeholder: 'request_id' },
    ' {x}',
  ])
  assert.equal(headerFault('X-Tenant', '{host}', 'request'), undefined)
  for (const [name, value] of [
    ['X Tenant', 'a'],
    ['Connection', 'close'],
    ['X-Forwarded-For', '1.1.1.1'],
    ['Host', ''],
    ['X-Tenant', 'é'],
    ['X-Tenant', '{hots}'],
  ] as const) {
    assert.ok(headerFault(name, value, 'request') !== undefined, name)
  }
  assert.equal(headerFault('X-Forwarded-For', '1.1.1.1', 'response'), undefined)
})

test('redirects: with path and query, with the rest, or exactly this', () => {
  assert.deepEqual(parseRedirect('https://example.com'), { target: 'https://example.com', keeps: 'path' })
  assert.deepEqual(parseRedirect('/new/*'), { target: '/new/', keeps: 'rest' })
  assert.deepEqual(parseRedirect('/new'), { target: '/new', keeps: 'nothing' })
  for (const text of ['new', '//evil.example', '/a*b', 'https://example.com/é'])
    assert.ok('message' in parseRedirect(text), text)
})

test('listeners and sites: which have TLS, what they are called, and every upstream of theirs', () => {
  const settings = { bodyLimitBytes: 1, rateLimit: undefined, requestHeaders: [], responseHeaders: [] }
  const upstream = { kind: 'tcp', scheme: 'http', host: 'a', port: 1, caPem: undefined } as const
  const proxy = {
    kind: 'proxy',
    connectTimeoutMs: 1,
    requestTimeoutMs: 1,
    stripPrefix: false,
    addPrefix: '',
  } as const
  const balancing = { balance: { by: 'least_requests' }, failAfter: 1, failWindowMs: 1, retryMs: 1 } as const
  const peers = ['b', 'c'].map((host) => ({ host, port: 2, weight: 1, isBackup: false }))
  const match = { path: '/x', methods: [], headers: [], query: [] }
  const site: Site = {
    ...settings,
    hosts: ['one.example', 'two.example'],
    action: { ...proxy, upstream },
    routes: [
      { ...settings, match, action: { ...proxy, upstream, balancing: { ...balancing, peers } } },
      { ...settings, match, action: { kind: 'respond', status: 200, body: '', contentType: 'text/plain' } },
    ],
  }
  assert.equal(siteNameOf(site), 'one.example')
  assert.equal([...settingsOf([site])].length, 3)
  assert.deepEqual([...proxyActionsOf([site])].flatMap(upstreamsOf), [
    upstream,
    { ...upstream, host: 'b', port: 2 },
    { ...upstream, host: 'c', port: 2 },
  ])
  const listener: Listener = {
    id: 'x',
    bindAddrs: ['::1'],
    httpPort: 80,
    httpsPort: 0,
    tls: { mode: 'off' },
    sites: [site],
  }
  assert.equal(hasTls(listener), false)
  assert.equal(hasTls({ ...listener, httpsPort: 443, tls: { mode: 'internal' } }), true)
  assert.deepEqual([plural(1, 'site'), plural(2, 'site')], ['1 site', '2 sites'])
})
