// What a request head may look like, decided without a socket.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { ERRORS, ProxyError, type ErrorCode } from '@reverse-proxy/shared/errors'
import { isWebSocketHandshake, parseRequest, type RequestHead } from '../../src/message/request-parser.ts'

const LIMITS = { headerBytes: 1000, headerCount: 20 }

function head(rawHeaders: readonly string[], more: Partial<RequestHead> = {}): RequestHead {
  return {
    protocol: 'http/1.1',
    method: 'GET',
    target: '/',
    authority: undefined,
    scheme: undefined,
    endsWithHead: false,
    upgrade: false,
    ...more,
    rawHeaders,
  }
}

function http2(more: Partial<RequestHead> = {}, rawHeaders: readonly string[] = []): RequestHead {
  return head(rawHeaders, {
    protocol: 'h2',
    authority: 'a.example',
    scheme: 'https',
    endsWithHead: true,
    ...more,
  })
}

function codeOf(request: RequestHead): ErrorCode | undefined {
  try {
    parseRequest(request, LIMITS)
    return undefined
  } catch (error) {
    assert.ok(error instanceof ProxyError)
    return error.code
  }
}

function manyFields(count: number): string[] {
  return Array.from({ length: count }, () => ['x', 'y']).flat()
}

const HOST = ['Host', 'a.example'] as const

test('Host: exactly one, and a host with perhaps a port', () => {
  for (const [value, host] of [
    ['a.example', 'a.example'],
    ['A.Example:8443', 'a.example'],
    ['a.example.', 'a.example'],
    ['a.example:', 'a.example'],
    ['[2001:DB8::1]:443', '[2001:db8::1]'],
    ['under_score.example', 'under_score.example'],
  ] as const) {
    const parsed = parseRequest(head(['Host', value]), LIMITS)
    assert.deepEqual([parsed.host, parsed.authority], [host, value])
  }
  for (const value of [
    '',
    ' ',
    'a b',
    'a.example/',
    'a.example/x',
    'user@a.example',
    'a.example#f',
    'a.example?q',
    'a.example,b.example',
    'a.example:x',
    'a.example:99999',
    'a.example:80:80',
    '2001:db8::1',
    '[::1',
    'a.example\u0000',
    'a%2eexample',
    '.',
    '.:443',
    'caf\u00e9.example',
  ]) {
    assert.equal(codeOf(head(['Host', value])), 'BAD_HOST', JSON.stringify(value))
  }
  assert.equal(codeOf(head([])), 'BAD_HOST')
  assert.equal(codeOf(head([...HOST, ...HOST])), 'BAD_HOST')
  assert.equal(codeOf(head([], { protocol: 'http/1.0' })), 'BAD_HOST')
})

test('the target: origin-form as it is, absolute-form only for the same host', () => {
  for (const [target, path] of [
    ['/', '/'],
    ['//a//..//b', '//a//..//b'],
    ['/a%2Fb?c=%20&d=//@:[]|"', '/a%2Fb?c=%20&d=//@:[]|"'],
    ['http://a.example/p?q', '/p?q'],
    ['HTTPS://A.EXAMPLE:443/p', '/p'],
    ['https://a.example', '/'],
    ['https://a.example?q', '/?q'],
  ] as const) {
    assert.equal(parseRequest(head(HOST, { target }), LIMITS).path, path)
  }
  assert.equal(
    parseRequest(head(['Host', 'a.example:443'], { target: 'https://a.example/' }), LIMITS).path,
    '/',
  )
  for (const [target, code] of [
    ['https://b.example/', 'BAD_HOST'],
    ['https://a.example:444/', 'BAD_HOST'],
    ['https://user@a.example/', 'BAD_HOST'],
    ['https:///', 'BAD_HOST'],
    ['', 'BAD_TARGET'],
    ['*', 'BAD_TARGET'],
    ['a.example:443', 'BAD_TARGET'],
    ['ftp://a.example/', 'BAD_TARGET'],
    ['/a#f', 'BAD_TARGET'],
    ['/a b', 'BAD_TARGET'],
    ['/a\tb', 'BAD_TARGET'],
    ['/a\u0000', 'BAD_TARGET'],
    ['/a\r\nX: y', 'BAD_TARGET'],
    ['/a\u007f', 'BAD_TARGET'],
  ] as const) {
    assert.equal(codeOf(head(HOST, { target })), code, JSON.stringify(target))
  }
})

test('the body: one length, or exactly chunked, or none', () => {
  for (const [fields, body] of [
    [[], { kind: 'none', isDeclared: false }],
    [['Content-Length', '0'], { kind: 'none', isDeclared: true }],
    [['Content-Length', '5'], { kind: 'length', bytes: 5 }],
    [['content-LENGTH', '005'], { kind: 'length', bytes: 5 }],
    [['Transfer-Encoding', 'chunked'], { kind: 'unknown' }],
    [['transfer-encoding', 'CHUNKED'], { kind: 'unknown' }],
  ] as const) {
    assert.deepEqual(parseRequest(head([...HOST, ...fields], { method: 'POST' }), LIMITS).body, body)
  }
  for (const fields of [
    ['Content-Length', '5', 'Transfer-Encoding', 'chunked'],
    ['Content-Length', '5', 'Content-Length', '5'],
    ['Content-Length', '5, 5'],
    ['Content-Length', '+5'],
    ['Content-Length', '-5'],
    ['Content-Length', '5 '],
    ['Content-Length', '0x5'],
    ['Content-Length', ''],
    ['Content-Length', '9'.repeat(20)],
    ['Transfer-Encoding', 'chunked', 'Transfer-Encoding', 'chunked'],
    ['Transfer-Encoding', 'gzip, chunked'],
    ['Transfer-Encoding', 'chunked, identity'],
    ['Transfer-Encoding', 'identity'],
    ['Transfer-Encoding', 'xchunked'],
    ['Transfer-Encoding', '\u000bchunked'],
    ['Transfer-Encoding', ''],
  ]) {
    assert.equal(codeOf(head([...HOST, ...fields], { method: 'POST' })), 'BAD_FRAMING', fields.join())
  }
  assert.equal(
    codeOf(head([...HOST, 'Transfer-Encoding', 'chunked'], { protocol: 'http/1.0' })),
    'BAD_FRAMING',
  )
})

test('a version other than 1.0, 1.1 and 2 has no framing that could be trusted', () => {
  assert.equal(codeOf(head(HOST, { protocol: 'other' })), 'BAD_FRAMING')
})

test('HTTP/2: pseudo-headers, Host beside :authority, no connection-specific fields', () => {
  assert.equal(parseRequest(http2(), LIMITS).authority, 'a.example')
  assert.equal(parseRequest(http2({ authority: undefined }, HOST), LIMITS).host, 'a.example')
  assert.equal(parseRequest(http2({}, ['host', 'A.example']), LIMITS).host, 'a.example')
  assert.deepEqual(parseRequest(http2({ endsWithHead: false }), LIMITS).body, { kind: 'unknown' })
  const declared = http2({ endsWithHead: false }, ['content-length', '3'])
  assert.deepEqual(parseRequest(declared, LIMITS).body, { kind: 'length', bytes: 3 })
  for (const [request, code] of [
    [http2({}, ['host', 'b.example']), 'BAD_HOST'],
    [http2({}, ['host', 'a.example', 'host', 'a.example']), 'BAD_HOST'],
    [http2({ authority: undefined }), 'BAD_HOST'],
    [http2({ authority: 'user@a.example' }), 'BAD_HOST'],
    [http2({ target: 'x' }), 'BAD_TARGET'],
    [http2({ target: '*', method: 'OPTIONS' }), 'BAD_TARGET'],
    [http2({ target: 'https://a.example/' }), 'BAD_TARGET'],
    [http2({ scheme: 'ftp' }), 'BAD_TARGET'],
    [http2({ scheme: undefined }), 'BAD_TARGET'],
    [http2({ method: 'GET /x' }), 'BAD_TARGET'],
    [http2({}, ['connection', 'close']), 'BAD_FRAMING'],
    [http2({}, ['transfer-encoding', 'chunked']), 'BAD_FRAMING'],
    [http2({}, ['keep-alive', '1']), 'BAD_FRAMING'],
    [http2({}, ['upgrade', 'h2c']), 'BAD_FRAMING'],
    [http2({}, ['content-length', '3']), 'BAD_FRAMING'],
    [http2({ method: 'CONNECT', target: '' }), 'METHOD_NOT_ALLOWED'],
  ] as const) {
    assert.equal(codeOf(request), code)
  }
})

test('limits: 431 at one header, or one byte, too many', () => {
  assert.equal(codeOf(head([...HOST, ...manyFields(19)])), undefined)
  assert.equal(codeOf(head([...HOST, ...manyFields(20)])), 'HEADERS_TOO_LARGE')
  const used = 'Host'.length + 'a.example'.length + 4 + '/'.length + 'x'.length + 4
  assert.equal(codeOf(head([...HOST, 'x', 'y'.repeat(1000 - used)])), undefined)
  assert.equal(codeOf(head([...HOST, 'x', 'y'.repeat(1001 - used)])), 'HEADERS_TOO_LARGE')
  assert.equal(codeOf(head(HOST, { target: `/${'x'.repeat(1000)}` })), 'HEADERS_TOO_LARGE')
})

function crumbs(count: number): string[] {
  return Array.from({ length: count }, () => ['cookie', 'a=b']).flat()
}

test('limits: the cookie crumbs of HTTP/2 count as the one field that they are', () => {
  assert.equal(codeOf(http2({}, [...crumbs(100), ...manyFields(19)])), undefined)
  assert.equal(codeOf(http2({}, [...crumbs(100), ...manyFields(20)])), 'HEADERS_TOO_LARGE')
  assert.equal(codeOf(head([...HOST, ...crumbs(20)])), 'HEADERS_TOO_LARGE')
  // `/`, `cookie: `, CRLF, and crumbs of three bytes with two between each and the next.
  const used = '/'.length + 'cookie'.length + 4 + 197 * 3 + 196 * 2
  assert.equal(used, 994)
  assert.equal(codeOf(http2({}, [...crumbs(197), 'cookie', 'abcd'])), undefined)
  assert.equal(codeOf(http2({}, [...crumbs(197), 'cookie', 'abcde'])), 'HEADERS_TOO_LARGE')
})

test('limits: 400 at more than a hundred connection options', () => {
  for (const [count, code] of [
    [100, undefined],
    [101, 'BAD_FRAMING'],
  ] as const) {
    assert.equal(codeOf(head([...HOST, 'Connection', `${'a,'.repeat(count)},`])), code)
  }
})

test('Expect: 100-continue alone; from HTTP/1.0 it means nothing', () => {
  const expecting = (value: string, more: Partial<RequestHead> = {}) => head([...HOST, 'Expect', value], more)
  assert.equal(parseRequest(expecting('100-Continue'), LIMITS).expectsContinue, true)
  assert.equal(
    parseRequest(expecting('100-continue', { protocol: 'http/1.0' }), LIMITS).expectsContinue,
    false,
  )
  for (const value of ['x', '100-continue, x', '200-ok', ''])
    assert.equal(codeOf(expecting(value)), 'EXPECTATION_FAILED')
  assert.equal(
    codeOf(head([...HOST, 'Expect', '100-continue', 'Expect', '100-continue'])),
    'EXPECTATION_FAILED',
  )
})

test('a WebSocket handshake is a GET without a body that wants one upgrade, to websocket', () => {
  const wish = ['Upgrade', 'WebSocket', 'Connection', 'upgrade'] as const
  assert.ok(isWebSocketHandshake('GET', '1.1', wish))
  assert.ok(!isWebSocketHandshake('POST', '1.1', wish))
  assert.ok(!isWebSocketHandshake('GET', '1.0', wish))
  assert.ok(!isWebSocketHandshake('GET', '1.1', ['Upgrade', 'h2c, websocket']))
  assert.ok(!isWebSocketHandshake('GET', '1.1', [...wish, 'Upgrade', 'websocket']))
  assert.ok(isWebSocketHandshake('GET', '1.1', [...wish, 'Content-Length', '0']))
  assert.ok(!isWebSocketHandshake('GET', '1.1', [...wish, 'Content-Length', '1']))
  assert.ok(!isWebSocketHandshake('GET', '1.1', [...wish, 'Transfer-Encoding', 'chunked']))
})

test('whatever the head: parsed, or refused with a code that is the client’s', () => {
  const names = fc.constantFrom(
    'Host',
    'host',
    'Content-Length',
    'Transfer-Encoding',
    'Expect',
    'Connection',
    'X',
  )
  const values = fc.oneof(
    fc.constantFrom('a.example', '5', 'chunked', '100-continue', 'close, X', '', 'a.example, b'),
    fc.string({ unit: 'binary-ascii', maxLength: 12 }),
  )
  const pairs = fc.array(fc.tuple(names, values), { maxLength: 25 })
  const targets = fc.oneof(fc.webPath(), fc.string({ unit: 'binary-ascii' }), fc.webUrl())
  fc.assert(
    fc.property(pairs, targets, fc.constantFrom('http/1.0', 'http/1.1', 'h2'), (fields, target, protocol) => {
      const request = head(fields.flat(), { target, protocol, method: 'POST', scheme: 'https' })
      const code = codeOf(request)
      if (code !== undefined) {
        assert.equal(ERRORS[code].source, 'client')
        return
      }
      const { host, path, body } = parseRequest(request, LIMITS)
      assert.match(host, /^[a-z0-9._\-:[\]]+$/u)
      assert.match(path, /^\/[!-~\u0080-\u00ff]*$/u)
      assert.ok(
        body.kind !== 'unknown' || fields.filter(([name]) => name === 'Transfer-Encoding').length <= 1,
      )
    }),
    { numRuns: 2000 },
  )
})
