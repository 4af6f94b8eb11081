import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import {
  MAX_CLIENT_HELLO_BYTES,
  parseClientHello,
  type ClientHelloFault,
} from '../../src/tls/client-hello.ts'
import {
  alpnExtension,
  encodeHello,
  encodeRecords,
  serverNameExtension,
  type Extension,
} from '../support/client-hello.ts'

const label = fc.stringMatching(/^[a-zA-Z0-9_-]{0,10}[a-zA-Z_-]$/)
const hostName = fc.array(label, { minLength: 1, maxLength: 6 }).map((labels) => labels.join('.'))
const protocol = fc.string({
  unit: fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code)),
  minLength: 1,
  maxLength: 20,
})
const otherExtension = fc.record({
  type: fc.integer({ min: 0, max: 0xffff }).filter((type) => type !== 0 && type !== 16),
  data: fc.uint8Array({ maxLength: 300 }),
})

const validHello = fc
  .record({
    serverName: fc.option(hostName, { nil: undefined }),
    alpn: fc.array(protocol, { maxLength: 5 }),
    others: fc.uniqueArray(otherExtension, { selector: ({ type }) => type, maxLength: 12 }),
    sessionId: fc.uint8Array({ maxLength: 32 }),
    cipherSuites: fc.array(fc.integer({ min: 0, max: 0xffff }), { minLength: 1, maxLength: 40 }),
    payloadSizes: fc.oneof(
      fc.constant([1]),
      fc.constant([16_384]),
      fc.array(fc.integer({ min: 1, max: 600 }), { minLength: 1, maxLength: 8 }),
    ),
    withoutExtensions: fc.boolean(),
  })
  .chain(({ serverName, alpn, others, withoutExtensions, ...rest }) => {
    const extensions: Extension[] = [...others]
    if (serverName !== undefined) extensions.push(serverNameExtension(serverName))
    if (alpn.length > 0) extensions.push(alpnExtension(...alpn))
    const none = withoutExtensions && extensions.length === 0
    return fc.shuffledSubarray(extensions, { minLength: extensions.length }).map((shuffled) => ({
      expected: { status: 'complete', serverName: serverName?.toLowerCase(), alpn },
      bytes: encodeRecords(
        encodeHello({ ...rest, extensions: none ? undefined : shuffled }),
        rest.payloadSizes,
      ),
    }))
  })
  .filter(({ bytes }) => bytes.length <= MAX_CLIENT_HELLO_BYTES)

test('a valid hello is read, whatever else is in it and however it is cut into records', () => {
  fc.assert(
    fc.property(validHello, ({ bytes, expected }) => assert.deepEqual(parseClientHello(bytes), expected)),
  )
})

test('every prefix of a valid hello wants more, and never more than there is', () => {
  fc.assert(
    fc.property(validHello, ({ bytes }) => {
      for (let length = 0; length < bytes.length; length++) {
        const parsed = parseClientHello(bytes.subarray(0, length))
        assert.ok(parsed.status === 'need-more')
        const { atLeastBytes } = parsed
        assert.ok(atLeastBytes > length && atLeastBytes <= bytes.length, `${length}: ${atLeastBytes}`)
      }
    }),
    { numRuns: 40 },
  )
})

test('bytes behind the hello, early data say, are not its business', () => {
  fc.assert(
    fc.property(validHello, fc.uint8Array({ maxLength: 100 }), ({ bytes, expected }, rest) => {
      assert.deepEqual(parseClientHello(Buffer.concat([bytes, rest])), expected)
    }),
  )
})

test('arriving byte by byte in the worst fragments costs few parses', () => {
  const bytes = encodeRecords(encodeHello({ extensions: [{ type: 21, data: new Uint8Array(2500) }] }), [1])
  let neededBytes = 1
  let parses = 0
  for (;;) {
    const parsed = parseClientHello(bytes.subarray(0, neededBytes))
    parses += 1
    if (parsed.status !== 'need-more') break
    neededBytes = parsed.atLeastBytes
  }
  assert.ok(bytes.length > 15_000)
  assert.ok(parses < 100, `${parses} parses`)
})

test('random bytes and one changed byte neither throw nor loop', () => {
  const start = encodeRecords(encodeHello({ extensions: [serverNameExtension('a.example')] })).subarray(0, 9)
  fc.assert(fc.property(fc.uint8Array({ maxLength: 2000 }), (bytes) => void parseClientHello(bytes)))
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 400 }),
      (bytes) => void parseClientHello(Buffer.concat([start, bytes])),
    ),
  )
  fc.assert(
    fc.property(validHello, fc.nat(), fc.integer({ min: 0, max: 255 }), ({ bytes }, position, value) => {
      const changed = Buffer.from(bytes)
      changed[position % changed.length] = value
      const parsed = parseClientHello(changed)
      assert.ok(['complete', 'need-more', 'bad'].includes(parsed.status))
    }),
    { numRuns: 1000 },
  )
})

function faultOf(bytes: Uint8Array): ClientHelloFault | undefined {
  const parsed = parseClientHello(bytes)
  return parsed.status === 'bad' ? parsed.reason : undefined
}

test('what is no TLS at all is known by its first byte', () => {
  for (const text of [
    'GET / HTTP/1.1\r\n',
    'P',
    'PRI * HTTP/2.0',
    'OPTIONS * HTTP/1.1',
    'CONNECT a:1 HTTP/1.1',
  ]) {
    assert.equal(faultOf(Buffer.from(text)), 'http', text)
  }
  for (const text of ['SSH-2.0-x\r\n', 'PROXY TCP4 ', 'get / ', '\0', '\r\n', '\x15\x03\x01\0\x02\x01\0']) {
    assert.equal(faultOf(Buffer.from(text, 'latin1')), 'not_tls', text)
  }
  assert.equal(faultOf(Buffer.of(22, 2)), 'not_tls')
  assert.equal(faultOf(Buffer.of(0x80, 46, 1, 3, 1)), 'sslv2')
})

test('records that a ClientHello cannot come in', () => {
  const message = encodeHello({ extensions: [serverNameExtension('a.example')] })
  const head = encodeRecords(message.subarray(0, 10))
  const tail = encodeRecords(message.subarray(10))
  const alert = Buffer.of(21, 3, 3, 0, 2, 1, 0)
  assert.equal(parseClientHello(Buffer.concat([head, tail])).status, 'complete')
  assert.equal(faultOf(Buffer.concat([head, alert, tail])), 'malformed')
  assert.equal(faultOf(Buffer.concat([head, Buffer.from('GET ')])), 'malformed')
  assert.equal(faultOf(Buffer.concat([head, Buffer.of(22, 3, 1, 0, 0), tail])), 'malformed')
  assert.equal(faultOf(Buffer.of(22, 3, 1, 0, 0)), 'malformed')
  assert.equal(faultOf(Buffer.of(22, 3, 1, 0x40, 1)), 'malformed')
  assert.equal(faultOf(encodeRecords(Buffer.concat([message, Buffer.of(0)]))), 'malformed')
  const serverHello = Buffer.from(message)
  serverHello[0] = 2
  assert.equal(faultOf(encodeRecords(serverHello)), 'malformed')
})

test('a hello has 16 KiB, headers included, and not one byte more', () => {
  const emptyBytes = encodeRecords(
    encodeHello({ extensions: [{ type: 21, data: new Uint8Array(0) }] }),
  ).length
  const padded = (totalBytes: number) =>
    encodeRecords(encodeHello({ extensions: [{ type: 21, data: new Uint8Array(totalBytes - emptyBytes) }] }))
  assert.equal(parseClientHello(padded(MAX_CLIENT_HELLO_BYTES)).status, 'complete')
  assert.equal(faultOf(padded(MAX_CLIENT_HELLO_BYTES + 1)), 'too_large')
  // Announced is enough: nothing is collected for it.
  assert.equal(faultOf(encodeRecords(Buffer.of(1, 0xff, 0xff, 0xff))), 'too_large')
})

function faultOfExtensions(...extensions: readonly Extension[]): ClientHelloFault | undefined {
  return faultOf(encodeRecords(encodeHello({ extensions })))
}

test('extensions that two readers could understand differently', () => {
  const name = serverNameExtension('a.example')
  const alpn = alpnExtension('h2')
  assert.equal(faultOfExtensions(name, alpn), undefined)
  assert.equal(faultOfExtensions(name, alpn, name), 'malformed')
  assert.equal(faultOfExtensions(alpn, name, alpn), 'malformed')
  assert.equal(
    faultOfExtensions({ type: 5, data: Buffer.of(1) }, { type: 5, data: Buffer.of(1) }),
    'malformed',
  )
  assert.equal(faultOfExtensions(serverNameExtension('a.example', 'b.example')), 'malformed')
  for (const data of [
    [],
    [0, 0],
    [0, 4, 0, 0, 1],
    [0, 5, 1, 0, 2, 97, 97],
    [0, 5, 0, 0, 1, 97, 97],
    [0, 4, 0, 0, 1, 97, 97],
  ]) {
    assert.equal(faultOfExtensions({ type: 0, data: Buffer.from(data) }), 'malformed', String(data))
  }
  for (const data of [[], [0], [0, 0], [0, 1, 0], [0, 2, 2, 97], [0, 3, 1, 97], [0, 2, 1, 97, 1]]) {
    assert.equal(faultOfExtensions({ type: 16, data: Buffer.from(data) }), 'malformed', String(data))
  }
})

function long(length: number): string {
  return `${'a.'.repeat(length / 2 - 1)}ab`
}

test('server names that are none', () => {
  for (const name of [
    'a',
    'localhost',
    'A.Example',
    'xn--bcher-kva.example',
    '_dmarc.a-b.example',
    '1.2.3.in-addr.arpa',
    '1a',
    'x'.repeat(63),
    long(252),
  ]) {
    assert.equal(faultOfExtensions(serverNameExtension(name)), undefined, name)
  }
  const bad = [
    '',
    '.',
    'a.example.',
    '.a.example',
    'a..example',
    '127.0.0.1',
    '1',
    '::1',
    '[::1]',
    '*.example',
    'a b',
    'a\0b',
    'b\xfccher.example',
    'a.example:443',
    'a/b',
    'a\n',
    'x'.repeat(64),
    long(254),
    `a.${'b.'.repeat(200)}c`,
  ]
  for (const name of bad) assert.equal(faultOfExtensions(serverNameExtension(name)), 'bad_server_name', name)
})

test('lengths inside the hello that lead out of it', () => {
  const message = encodeHello({ extensions: [serverNameExtension('a.example'), alpnExtension('h2')] })
  const sessionIdLength = 4 + 2 + 32
  for (const [offset, value] of [
    [sessionIdLength, 255],
    [sessionIdLength + 1, 255],
    [sessionIdLength + 5, 255],
    [sessionIdLength + 7, 255],
    [sessionIdLength + 8, 0],
  ] as const) {
    const changed = Buffer.from(message)
    changed[offset] = value
    assert.equal(faultOf(encodeRecords(changed)), 'malformed', `${offset}`)
  }
  const shortened = Buffer.from(message.subarray(0, -1))
  shortened.writeUIntBE(shortened.length - 4, 1, 3)
  assert.equal(faultOf(encodeRecords(shortened)), 'malformed')
  assert.equal(faultOf(encodeRecords(Buffer.of(1, 0, 0, 0))), 'malformed')
})
