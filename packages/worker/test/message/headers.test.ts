// The header lists that cross the proxy, as properties.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { clientResponseHeaders, clientTrailers, upstreamRequestHeaders } from '../../src/message/headers.ts'

const OURS = ['x-request-id', 'x-real-ip', 'x-forwarded-for', 'x-forwarded-proto', 'x-forwarded-host']
const NEVER_UP = [
  'proxy-authorization',
  'connection',
  'keep-alive',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'expect',
  'forwarded',
]

const name = fc.oneof(
  fc.constantFrom(
    ...OURS,
    ...NEVER_UP,
    'Host',
    'Cookie',
    'Content-Length',
    'X_Forwarded_For',
    'X-Real_IP',
    'Transfer_Encoding',
    'Content_Length',
    'Proxy_Authorization',
    'Server',
  ),
  fc.stringMatching(/^[A-Za-z][A-Za-z0-9_-]{0,12}$/u),
)
const value = fc.stringMatching(/^[ -~]{0,12}$/u)
const fields = fc.array(fc.tuple(name, value), { maxLength: 20 })

function pairsOf(list: readonly string[]): [string, string][] {
  return Array.from({ length: list.length / 2 }, (_, i) => [
    (list[2 * i] ?? '').toLowerCase(),
    list[2 * i + 1] ?? '',
  ])
}

function up(raw: readonly string[], connectionOptions: readonly string[] = []): [string, string][] {
  return pairsOf(
    upstreamRequestHeaders(raw, {
      client: { ip: '192.0.2.1', scheme: 'https' },
      user: undefined,
      dropsAuthorization: false,
      authority: 'A.example:8443',
      connectionOptions,
      requestId: 'r1',
    }).list,
  )
}

test('ours are there exactly once, with our values, whatever the client says or names in Connection', () => {
  fc.assert(
    fc.property(fields, fc.subarray([...OURS, 'host', 'cookie', 'x-a']), (raw, options) => {
      const sent = up(raw.flat(), options)
      for (const [header, expected] of [
        ['host', 'A.example:8443'],
        ['x-request-id', 'r1'],
        ['x-real-ip', '192.0.2.1'],
        ['x-forwarded-for', '192.0.2.1'],
        ['x-forwarded-proto', 'https'],
        ['x-forwarded-host', 'A.example:8443'],
      ] as const) {
        const spelled = sent.filter(([candidate]) => candidate.replaceAll('_', '-') === header)
        assert.deepEqual(spelled, [[header, expected]])
      }
    }),
  )
})

test('hop-by-hop fields and what Connection names are gone; the rest goes up in order', () => {
  const gone = new Set([...NEVER_UP, ...OURS, 'host', 'content-length', 'x-forwarded-for', 'x-real-ip'])
  fc.assert(
    fc.property(fields, fc.constantFrom('x-a', 'accept', 'authorization'), (raw, named) => {
      const sent = up([...raw.flat(), named, 'secret'], [named])
      const kept = raw
        .map(([header, text]): [string, string] => [header.toLowerCase(), text])
        .filter(([header]) => !gone.has(header.replaceAll('_', '-')) && !gone.has(header))
        .filter(([header]) => header !== named && header !== 'cookie')
      const middle = sent.slice(1, -OURS.length).filter(([header]) => header !== 'cookie')
      assert.deepEqual(middle, kept)
    }),
  )
})

test('cookie crumbs become one field, in order', () => {
  assert.deepEqual(
    up(['cookie', 'a=1', 'accept', '*/*', 'cookie', 'b=2']).filter(([header]) => header === 'cookie'),
    [['cookie', 'a=1; b=2']],
  )
})

test('the answer: no Server, nothing hop-by-hop, names in lower case, the length apart', () => {
  fc.assert(
    fc.property(fields, (raw) => {
      const { list } = clientResponseHeaders(raw.flat(), 200, true)
      for (const [header] of pairsOf(list)) {
        assert.ok(
          ![
            'server',
            'connection',
            'keep-alive',
            'transfer-encoding',
            'upgrade',
            'te',
            'content-length',
          ].includes(header),
        )
      }
      for (let i = 0; i < list.length; i += 2) assert.equal(list[i], list[i]?.toLowerCase())
    }),
  )
  const raw = [
    'Connection',
    'X-Hop',
    'X-Hop',
    '1',
    'Content-Length',
    '5',
    'Trailer',
    'X-T',
    'Set-Cookie',
    'a',
    'Set-Cookie',
    'b',
  ]
  assert.deepEqual(clientResponseHeaders(raw, 200, true), {
    list: ['set-cookie', 'a', 'set-cookie', 'b'],
    contentLength: '5',
    isUnreadable: false,
    bindsConnection: false,
  })
  const chunked = [...raw, 'Transfer-Encoding', 'chunked']
  assert.deepEqual(clientResponseHeaders(chunked, 200, true).list.slice(-2), ['trailer', 'X-T'])
  assert.deepEqual(clientResponseHeaders(chunked, 200, false).list.slice(-2), ['set-cookie', 'b'])
  assert.equal(clientResponseHeaders(chunked, 200, true).isUnreadable, true)
  for (const status of [204, 205, 304]) {
    assert.deepEqual(clientResponseHeaders(chunked, status, true).list.slice(-2), ['set-cookie', 'b'])
  }
})

test('the answer: a transfer coding that nobody asked for makes it unreadable', () => {
  for (const [codings, isUnreadable] of [
    [['chunked'], false],
    [['Chunked'], false],
    [['gzip'], true],
    [['gzip, chunked'], true],
    [['chunked', 'chunked'], true],
    [['identity'], true],
  ] as const) {
    const raw = codings.flatMap((coding) => ['Transfer-Encoding', coding])
    assert.equal(clientResponseHeaders(raw, 200, true).isUnreadable, isUnreadable, codings.join())
  }
})

test('the response: too many connection options make it unreadable, an odd status does not', () => {
  for (const [status, options, isUnreadable] of [
    [599, 100, false],
    [600, 0, false],
    [999, 0, false],
    [200, 101, true],
  ] as const) {
    const raw = options === 0 ? [] : ['Connection', Array.from({ length: options }, () => 'a').join()]
    assert.equal(clientResponseHeaders(raw, status, true).isUnreadable, isUnreadable, `${status}`)
  }
})

test('trailers: what frames, routes or authorises is not passed on', () => {
  const raw = [
    'X-Sum',
    '1',
    'Content-Length',
    '5',
    'Transfer-Encoding',
    'chunked',
    'Set-Cookie',
    'a',
    'Host',
    'x',
    'Authorization',
    'x',
    'Location',
    '/x',
    'Content-Range',
    'bytes 0-1/2',
  ]
  assert.deepEqual(clientTrailers(raw), ['x-sum', '1'])
})
