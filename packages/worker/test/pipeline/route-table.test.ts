// Which route a request is for, what it costs to find out, and that no spelling of a path leads past a route.
import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import * as fc from 'fast-check'
import type { RouteMatch } from '@reverse-proxy/shared/config/config'
import { ProxyError } from '@reverse-proxy/shared/errors'
import { RouteTable, type MatchedRequest } from '../../src/pipeline/route-table.ts'
import { Router } from '../../src/pipeline/router.ts'
import { IS_FULL } from '../../../../test/harness/size.ts'

interface Named {
  readonly name: string
}

const GET: MatchedRequest = { method: 'GET', rawHeaders: [] }

function match(path: string, conditions: Partial<Omit<RouteMatch, 'path'>> = {}): RouteMatch {
  return { path, methods: [], headers: [], query: [], ...conditions }
}

function tableOf(...matches: readonly (RouteMatch | string)[]): RouteTable<Named> {
  return new RouteTable(
    { name: 'site' },
    matches.map((one) => {
      const route = typeof one === 'string' ? match(one) : one
      const { path, methods, headers, query } = route
      const name = [
        path,
        ...methods,
        ...headers.map((field) => field.name),
        ...query.map((field) => field.name),
      ]
      return [route, { name: name.join(' ') }]
    }),
  )
}

/** The name of the route, or the status of the refusal. */
function lookup(table: RouteTable<Named>, target: string, request = GET): string {
  try {
    return table.lookup(target, request).name
  } catch (error) {
    assert.ok(error instanceof ProxyError)
    return error.code
  }
}

test('the longest path wins, whatever the order; a subtree has its own path in it', () => {
  const paths = ['/api/', '/api/v2/', '/api', '/login', '/a/b/c/']
  for (const table of [tableOf(...paths), tableOf(...paths.toReversed())]) {
    for (const [target, expected] of [
      ['/', 'site'],
      ['/api', '/api'],
      ['/api/', '/api/'],
      ['/api?x=/api/v2/', '/api'],
      ['/api/x', '/api/'],
      ['/apix', 'site'],
      ['/api/v2', '/api/v2/'],
      ['/api/v2/x/y', '/api/v2/'],
      ['/api/v22', '/api/'],
      ['/login', '/login'],
      ['/login/', 'site'],
      ['/login/x', 'site'],
      ['/a/b', 'site'],
      ['/a/b/c', '/a/b/c/'],
      ['/API/x', 'site'],
      ['/%61pi/x', '/api/'],
      ['//api//x', '/api/'],
      ['/x/../api/y', '/api/'],
      ['/__proto__/x', 'site'],
    ] as const) {
      assert.equal(lookup(table, target), expected, target)
    }
  }
  assert.equal(lookup(tableOf('/', '/api/'), '/other'), '/')
})

function beta(value: string, method = 'GET'): MatchedRequest {
  return { method, rawHeaders: ['X-Other', 'a', 'X-Beta', value] }
}

test('conditions: all have to be met, most of them win, and a path whose are not is none', () => {
  const table = tableOf(
    match('/login', { methods: ['POST', 'PUT'] }),
    match('/', { headers: [{ name: 'x-beta', value: undefined }] }),
    match('/', {
      headers: [{ name: 'x-beta', value: 'two' }],
      query: [{ name: 'v', value: '2' }],
    }),
  )
  assert.equal(lookup(table, '/login'), 'site')
  assert.equal(lookup(table, '/login', { method: 'PUT', rawHeaders: [] }), '/login POST PUT')
  assert.equal(lookup(table, '/login', beta('one')), '/ x-beta')
  assert.equal(lookup(table, '/login', beta('one', 'POST')), '/login POST PUT')
  assert.equal(lookup(table, '/?v=2', beta('two')), '/ x-beta v')
  assert.equal(lookup(table, '/?%76=%32&v=3', beta('two')), '/ x-beta v')
  assert.equal(lookup(table, '/?v=3&v=2', beta('two')), '/ x-beta')
  assert.equal(
    lookup(table, '/?v=2', { method: 'GET', rawHeaders: ['X-Beta', 'two', 'x-beta', 'two'] }),
    '/ x-beta',
  )
})

test('a path with two readings for two routes is refused; one whose readings agree passes', () => {
  const table = tableOf('/admin/', '/public/')
  for (const target of [
    '/public%2F..%2Fadmin/x',
    '/public/..%2fadmin/x',
    '/secret/..%2fpublic/x',
    '/public/..;/admin/x',
    '/public/..%3b/admin/x',
    '/admin;v=1/x',
    '/public\\..\\admin/x',
    '/public/..%5cadmin/x',
    '/public/..;%5cadmin/x',
    '/public/..;a\\admin/x',
    '/%2561dmin/x',
    '/%252561dmin/x',
    '/public/%252e%252e/admin/x',
    '/admin%3fx',
    '/admin%23x',
    '/admin/../public/x',
    '/admin/%2e%2e/public/x',
    '/public/%00/x',
    '/public/%2500/x',
  ]) {
    assert.equal(lookup(table, target), 'AMBIGUOUS_PATH', target)
  }
  for (const [target, expected] of [
    ['/public/a%2Fb', '/public/'],
    ['/public/a%5Cb;c%25d', '/public/'],
    ['/public/100%25', '/public/'],
    ['/a%2Fb;c', 'site'],
    ['/public/x?y=/../admin/%2f', '/public/'],
  ] as const) {
    assert.equal(lookup(table, target), expected, target)
  }
})

/** What servers make of a path: each a way in which one of them reads it. */
const SERVERS: readonly ((path: string) => string)[] = [
  (path) => path,
  (path) => decode(path),
  (path) => remove(path),
  (path) => remove(decode(path)),
  (path) => remove(decode(decode(path))),
  (path) => decode(remove(path)),
  (path) => remove(decode(path.replace(/;[^/]*/gu, ''))),
  (path) => remove(decode(path).replaceAll('\\', '/')),
]

function decode(path: string): string {
  return path.replace(/%([0-9a-f]{2})/giu, (_, digits: string) => String.fromCharCode(parseInt(digits, 16)))
}

/** Dot segments and repeated slashes. */
function remove(path: string): string {
  const kept: string[] = []
  for (const part of path.split('/')) {
    if (part === '..') kept.pop()
    else if (part !== '' && part !== '.') kept.push(part)
  }
  return `/${kept.join('/')}`
}

function isGuarded(path: string): boolean {
  return path === '/admin' || path.startsWith('/admin/')
}

test('no spelling leads a server to what a route guards past that route', () => {
  const table = tableOf('/admin/', '/public/', '/public/admin/')
  const pieces = [
    'admin',
    '%61dmin',
    'adm%69n',
    '%2561dmin',
    'public',
    'x',
    '/',
    '//',
    '/./',
    '/../',
    '..',
    '.',
    '%2f',
    '%2F',
    '%252f',
    '%5c',
    '\\',
    ';',
    '..;',
    ';a=b',
    '%2e%2e',
    '%2e',
    '.%2e',
    '%252e',
    '%3f',
    '%25',
  ]
  const path = fc
    .array(fc.constantFrom(...pieces), { minLength: 1, maxLength: 9 })
    .map((parts) => `/${parts.join('')}`)
  fc.assert(
    fc.property(path, (target) => {
      const found = lookup(table, target)
      for (const read of SERVERS) {
        const seen = read(target)
        if (isGuarded(seen))
          assert.ok(found === '/admin/' || found === 'AMBIGUOUS_PATH', `${target} as ${seen}`)
      }
    }),
    { numRuns: IS_FULL ? 300_000 : 8_000 },
  )
})

/** How often a lookup asks a map: what it costs, whatever else the machine does. */
function stepsOf(t: TestContext, router: Router<RouteTable<Named>>, target: string): number {
  const { mock } = t.mock.method(Map.prototype, 'get')
  router.lookup('5000.example')?.lookup(target, GET)
  const steps = mock.callCount()
  mock.restore()
  return steps
}

test('matching takes as many steps with 10,000 sites of 100 routes as with one of one', (t) => {
  const hundred = tableOf(...Array.from({ length: 100 }, (_, i) => `/part-${i}/sub/`))
  const one = tableOf('/part-7/sub/')
  const many = new Router(
    Array.from({ length: 10_000 }, (_, i) => [`${i}.example`, i === 5_000 ? hundred : tableOf()] as const),
  )
  const single = new Router([['5000.example', one]])
  for (const target of ['/part-7/sub/x', '/part-7/sub', '/other/x', '/part-7/x/y/z']) {
    assert.ok(stepsOf(t, many, target) > 0)
    assert.equal(stepsOf(t, many, target), stepsOf(t, single, target), target)
  }
})
