// The header of a load balancer names the client; nothing else at the start of a connection is taken for one.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { assert as check, constantFrom, property, uint8Array } from 'fast-check'
import { parseProxyHeader } from '../../src/listen/proxy-protocol.ts'

const SIGNATURE = Buffer.from('0d0a0d0a000d0a515549540a', 'hex')

function version2(verCmd: number, family: number, payload: Buffer): Buffer {
  const length = Buffer.alloc(2)
  length.writeUInt16BE(payload.length)
  return Buffer.concat([SIGNATURE, Buffer.from([verCmd, family]), length, payload])
}

const V4 = version2(0x21, 0x11, Buffer.from('c0000201cb007107dc04 01bb'.replaceAll(' ', ''), 'hex'))
const V6 = version2(
  0x21,
  0x21,
  Buffer.from(
    '20010db8000000000000000000000001 20010db8000000000000000000000002 dc0401bb'.replaceAll(' ', ''),
    'hex',
  ),
)

test('PROXY protocol: both versions name the client, and what follows is its own', () => {
  const cases: [bytes: Buffer, clientIp: string | undefined][] = [
    [Buffer.from('PROXY TCP4 192.0.2.1 203.0.113.7 56324 443\r\n'), '192.0.2.1'],
    [Buffer.from('PROXY TCP6 2001:DB8::1 2001:db8::2 56324 443\r\n'), '2001:db8::1'],
    [Buffer.from('PROXY UNKNOWN\r\n'), undefined],
    [Buffer.from('PROXY UNKNOWN ffff:: 1 anything at all\r\n'), undefined],
    [V4, '192.0.2.1'],
    [V6, '2001:db8::1'],
    // TLVs after the addresses are passed over.
    [
      version2(0x21, 0x11, Buffer.concat([V4.subarray(16), Buffer.from('030004aabbccdd', 'hex')])),
      '192.0.2.1',
    ],
    // A health check of the balancer itself.
    [version2(0x20, 0x00, Buffer.alloc(0)), undefined],
    [version2(0x20, 0x11, V4.subarray(16)), undefined],
    [version2(0x21, 0x00, Buffer.alloc(0)), undefined],
    [version2(0x21, 0x31, Buffer.alloc(216)), undefined],
    // An IPv4 client of a balancer that speaks IPv6 only.
    [
      version2(
        0x21,
        0x21,
        Buffer.concat([Buffer.from('00000000000000000000ffffc0000201', 'hex'), V6.subarray(32)]),
      ),
      '192.0.2.1',
    ],
  ]
  for (const [header, clientIp] of cases) {
    const bytes = Buffer.concat([header, Buffer.from([0x16, 0x03, 0x01])])
    const expected = { status: 'complete', bytes: header.length, clientIp }
    assert.deepEqual(parseProxyHeader(bytes), expected, header.toString('latin1'))
    for (let length = 0; length < header.length; length++) {
      assert.deepEqual(
        parseProxyHeader(bytes.subarray(0, length)),
        { status: 'need-more' },
        `${length} bytes`,
      )
    }
  }
})

test('PROXY protocol: anything else is refused, as early as it can be told', () => {
  const texts = [
    'GET / HTTP/1.1\r\n',
    'proxy TCP4 192.0.2.1 203.0.113.7 1 2\r\n',
    'PROXY TCP4 192.0.2.1 203.0.113.7 56324\r\n',
    'PROXY TCP4 192.0.2.1 203.0.113.7 56324 65536\r\n',
    'PROXY TCP4 192.0.2.1 203.0.113.7 056324 443\r\n',
    'PROXY TCP4 2001:db8::1 2001:db8::2 56324 443\r\n',
    'PROXY TCP6 192.0.2.1 203.0.113.7 56324 443\r\n',
    'PROXY TCP6 fe80::1%eth0 2001:db8::2 56324 443\r\n',
    'PROXY TCP4 192.0.2.300 203.0.113.7 56324 443\r\n',
    'PROXY UDP4 192.0.2.1 203.0.113.7 56324 443\r\n',
    'PROXY  TCP4 192.0.2.1 203.0.113.7 56324 443\r\n',
    `PROXY UNKNOWN ${'x'.repeat(100)}\r\n`,
    'PROXY TCP4 192.0.2.1 203.0.113.7 56324 443\n' + 'x'.repeat(100),
  ]
  for (const text of texts) assert.deepEqual(parseProxyHeader(Buffer.from(text)), { status: 'bad' }, text)
  const binaries = [
    version2(0x11, 0x11, V4.subarray(16)),
    version2(0x22, 0x11, V4.subarray(16)),
    version2(0x21, 0x12, V4.subarray(16)),
    version2(0x21, 0x41, V4.subarray(16)),
    version2(0x21, 0x11, V4.subarray(17)),
    version2(0x21, 0x21, V4.subarray(16)),
    version2(0x21, 0x31, Buffer.alloc(215)),
    // A length that would have us wait for 60 KB is refused when it is read.
    version2(0x21, 0x11, Buffer.alloc(60_000)).subarray(0, 16),
    Buffer.from([0x16, 0x03, 0x01]),
  ]
  for (const bytes of binaries)
    assert.deepEqual(parseProxyHeader(bytes), { status: 'bad' }, bytes.toString('hex'))
})

test('PROXY protocol: no bytes whatever make it throw or wait for ever', () => {
  const start = constantFrom(Buffer.from('PROXY '), SIGNATURE, V4.subarray(0, 14), V6.subarray(0, 14))
  check(
    property(start, uint8Array({ maxLength: 300 }), (head, tail) => {
      const header = parseProxyHeader(Buffer.concat([head, tail]))
      if (header.status === 'complete') assert.ok(header.bytes <= head.length + tail.length)
    }),
    { numRuns: 2_000 },
  )
  assert.equal(parseProxyHeader(Buffer.concat([Buffer.from('PROXY '), Buffer.alloc(5_000)])).status, 'bad')
})
