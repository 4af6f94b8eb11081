// The rules on files of which parts are missing: a breach is found by what is there, and nothing is
// said about what is not.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { parseBalance } from '../src/config/balancing.ts'
import { formatPath, ISSUES } from '../src/config/issues.ts'
import { checkRules } from '../src/config/rules/rules.ts'
import type { ConfigFile, ListenerFile, SiteFile, Valid } from '../src/config/schema.ts'

const CONTEXT = { allowWildcardBind: false, resolvePath: (path: string) => path, toAscii: () => '' }

function codes(file: Valid<ConfigFile>): string[] {
  return checkRules(file, CONTEXT).map(({ code }) => code)
}

test('nothing is said about a file of which nothing is sound', () => {
  assert.deepEqual(codes({}), [])
  assert.deepEqual(codes({ listeners: undefined }), [])
  assert.deepEqual(
    codes({ listeners: [undefined, {}, { tls: undefined, sites: [undefined, { upstream: undefined }] }] }),
    [],
  )
})

test('a key that was written wrongly is not missing', () => {
  const tls = {
    mode: 'acme',
    acme_domains: undefined,
    acme_cache_dir: undefined,
    acme_contact: undefined,
  } as const
  assert.deepEqual(codes({ listeners: [{ tls }] }), [])
  assert.deepEqual(codes({ listeners: [{ tls: { mode: 'acme' } }] }), [
    'ACME_DOMAINS_EMPTY',
    'KEY_MISSING',
    'KEY_MISSING',
  ])
})

test('a duplicate host is found across listeners, one of which is otherwise broken', () => {
  const listeners: Valid<ListenerFile>[] = [
    { bind_addr: undefined, tls: undefined, sites: [undefined, { host: 'a.example', upstream: undefined }] },
    { sites: [{ host: 'A.example', upstream: undefined }] },
  ]
  const [issue, ...others] = checkRules({ listeners }, CONTEXT)
  assert.deepEqual(others, [])
  assert.equal(issue?.path, 'listeners[1].sites[0].host')
  assert.match(issue.message, /listeners\[0\]\.sites\[1\]/u)
})

test('two listeners clash exactly if a port and an address of theirs meet', () => {
  const addresses = fc.constantFrom(
    '127.0.0.1',
    '127.0.0.2',
    '::1',
    '0:0::1',
    '0.0.0.0',
    '::',
    '::ffff:127.0.0.1',
  )
  const ports = fc.constantFrom(1, 2, 3)
  const one = fc.record({ bind_addr: addresses, http_port: fc.constantFrom(0, 4, 5), https_port: ports })
  fc.assert(
    fc.property(one, one, (a, b) => {
      const [x, y] = [canonical(a.bind_addr), canonical(b.bind_addr)]
      const isSameFamily = x.includes(':') === y.includes(':')
      const isWildcard = [x, y].some((text) => text === '::' || text === '0.0.0.0')
      const meets = isSameFamily && (x === y || isWildcard)
      const shares = a.https_port === b.https_port || (a.http_port !== 0 && a.http_port === b.http_port)
      const found = codes({ allow_wildcard_bind: true, listeners: [a, b] })
      assert.deepEqual(found, meets && shares ? ['LISTENER_PORT_CLASH'] : [])
    }),
  )
})

test('the flag permits a wildcard as the key does', () => {
  const listeners = [{ bind_addr: '::' }]
  assert.deepEqual(codes({ listeners }), ['WILDCARD_BIND'])
  assert.deepEqual(codes({ listeners, allow_wildcard_bind: true }), [])
  assert.deepEqual(checkRules({ listeners }, { ...CONTEXT, allowWildcardBind: true }), [])
})

test('the health port is on 127.0.0.1 alone', () => {
  const clash = (bind_addr: string) =>
    codes({
      allow_wildcard_bind: true,
      health_check_port: 9900,
      listeners: [{ bind_addr, https_port: 9900 }],
    })
  assert.deepEqual(clash('127.0.0.1'), ['HEALTH_PORT_CLASH'])
  assert.deepEqual(clash('0.0.0.0'), ['HEALTH_PORT_CLASH'])
  assert.deepEqual(clash('127.0.0.2'), [])
  assert.deepEqual(clash('::'), [])
  assert.deepEqual(codes({ health_check_port: 0, listeners: [{ bind_addr: '127.0.0.1', http_port: 0 }] }), [])
})

test('a challenge port other than 443 or 80 is a warning, with a public CA alone', () => {
  assert.deepEqual(challengeWarnings('production', 'tls-alpn-01'), [
    'warning ACME_CHALLENGE_PORT listeners[0].https_port',
  ])
  assert.deepEqual(challengeWarnings('staging', 'http-01'), [
    'warning ACME_CHALLENGE_PORT listeners[0].http_port',
  ])
  assert.deepEqual(challengeWarnings('https://ca.example/dir', 'tls-alpn-01'), [])
})

test('rule numbers: each of the specification belongs to a code', () => {
  const numbers = new Set<number>(Object.values(ISSUES).flatMap(({ rules }) => rules))
  for (let number = 1; number <= 25; number++) assert.ok(numbers.has(number), `rule ${number}`)
})

test('paths are written as TOML would', () => {
  assert.equal(formatPath(['listeners', 0, 'sites', 1, 'host']), 'listeners[0].sites[1].host')
  assert.equal(formatPath(['a b', 'c.d', 'e-f_1']), '"a b"."c.d".e-f_1')
  assert.equal(formatPath([]), '')
})

function canonical(text: string) {
  return text === '0:0::1' ? '::1' : text === '::ffff:127.0.0.1' ? '127.0.0.1' : text
}

function challengeWarnings(acme_directory: string, acme_challenge: 'tls-alpn-01' | 'http-01') {
  return checkRules(
    {
      listeners: [
        {
          http_port: 8080,
          https_port: 8443,
          tls: {
            mode: 'acme',
            acme_domains: ['a.example'],
            acme_cache_dir: 'cache',
            acme_contact: 'mailto:a@example.com',
            acme_directory,
            acme_challenge,
          },
        },
      ],
    },
    CONTEXT,
  ).map(({ code, severity, path }) => `${severity} ${code} ${path}`)
}

function issuesOf(upstream: Valid<SiteFile>['upstream']): [string, string][] {
  return checkRules({ listeners: [{ sites: [{ upstream }] }] }, CONTEXT).map(({ code, path }) => [code, path])
}

test('several upstreams: each address is checked, none is there twice, not all are backups', () => {
  const at = 'listeners[0].sites[0].upstream'
  assert.deepEqual(issuesOf(['a:1', { address: '[::1]:2', weight: 3 }, { address: 'b:1', backup: true }]), [])
  assert.deepEqual(issuesOf(['a:1', { address: 'b' }, undefined, { weight: 2 }]), [
    ['UPSTREAM_INVALID', `${at}[1].address`],
  ])
  assert.deepEqual(issuesOf(['a:1', '']), [['UPSTREAM_MISSING', `${at}[1]`]])
  assert.deepEqual(issuesOf(['a:1', 'A:1']), [['UPSTREAM_DUPLICATE', `${at}[1]`]])
  assert.deepEqual(issuesOf([{ address: 'a:1', backup: true }]), [['UPSTREAM_ALL_BACKUP', at]])
})

test('balance: every policy as it is written, and nothing else', () => {
  for (const text of ['', 'random', 'header', 'header:', 'cookie:a:b', 'header:a b', 'client:x']) {
    assert.equal(parseBalance(text), undefined)
    assert.deepEqual(codes({ listeners: [{ sites: [{ upstream: 'a:1', balance: text }] }] }), [
      'BALANCE_INVALID',
    ])
  }
  for (const [text, balance] of [
    ['least_requests', { by: 'least_requests' }],
    ['round_robin', { by: 'round_robin' }],
    ['client', { by: 'client' }],
    ['header:X-User', { by: 'header', name: 'x-user' }],
    ['cookie:Session', { by: 'cookie', name: 'Session' }],
  ] as const)
    assert.deepEqual(parseBalance(text), balance)
})
