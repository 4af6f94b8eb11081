// HPACK both ways: what one end encodes, the other decodes to the same, whatever has been said before.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { fieldLine } from '../../../src/protocol/http2/hpack/field-line.ts'
import type { Field } from '../../../src/protocol/http2/hpack/field.ts'
import { HpackDecoder } from '../../../src/protocol/http2/hpack/decoder.ts'
import { HpackEncoder } from '../../../src/protocol/http2/hpack/encoder.ts'
import { decodedBytesLimit, decodeHuffman } from '../../../src/protocol/http2/hpack/huffman.ts'
import { IS_FULL } from '../../../../../test/harness/size.ts'

const LIMITS = { bytes: 100_000, count: 1_000 }

function decode(decoder: HpackDecoder, block: Buffer): string[] {
  const list: Field[] = []
  assert.ok(decoder.decode(block, 0, block.length, list, LIMITS))
  return list.map(({ name, value }) => `${name}: ${value}`)
}

// RFC 7541 C.4 and C.6: the same tables and the same fields.
const EXAMPLES: readonly (readonly [hex: string, fields: readonly string[]])[][] = [
  [
    [
      '828684418cf1e3c2e5f23a6ba0ab90f4ff',
      [':method: GET', ':scheme: http', ':path: /', ':authority: www.example.com'],
    ],
    [
      '828684be5886a8eb10649cbf',
      [':method: GET', ':scheme: http', ':path: /', ':authority: www.example.com', 'cache-control: no-cache'],
    ],
    [
      '828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf',
      [
        ':method: GET',
        ':scheme: https',
        ':path: /index.html',
        ':authority: www.example.com',
        'custom-key: custom-value',
      ],
    ],
  ],
  [
    ['400a637573746f6d2d6b65790d637573746f6d2d686561646572', ['custom-key: custom-header']],
    ['040c2f73616d706c652f70617468', [':path: /sample/path']],
    ['100870617373776f726406736563726574', ['password: secret']],
    ['82', [':method: GET']],
  ],
]

test('RFC 7541 appendix C: the examples', () => {
  for (const blocks of EXAMPLES) {
    const decoder = new HpackDecoder()
    for (const [hex, fields] of blocks) assert.deepEqual(decode(decoder, Buffer.from(hex, 'hex')), fields)
  }
})

function decoded(hex: string): string {
  const bytes = Buffer.from(hex, 'hex')
  const target = Buffer.alloc(decodedBytesLimit(bytes.length))
  return target.toString('latin1', 0, decodeHuffman(bytes, 0, bytes.length, target))
}

test('RFC 7541 appendix B: the longest codes, and text from C.6', () => {
  assert.equal(decoded('d07abe941054d444a8200595040b8166e082a62d1bff'), 'Mon, 21 Oct 2013 20:13:21 GMT')
  assert.equal(decoded('9d29ad171863c78f0b97c8e9ae82ae43d3'), 'https://www.example.com')
  // LF, CR and 0x16 have thirty bits.
  assert.equal(decoded('fffffff3ffffffdfffffffbf'), '\n\r\u0016')
})

const names = fc.constantFrom(
  'date',
  'x-a',
  'x-b',
  'content-type',
  'set-cookie',
  'location',
  'vary',
  'server-timing',
)
const values = fc.oneof(
  fc.constantFrom('a', 'b', 'text/html', ''),
  fc.string({ unit: fc.constantFrom('x', '~', ' ', '\u00e9').map((text) => text), maxLength: 300 }),
)
const heads = fc.array(fc.array(fc.tuple(names, values), { maxLength: 12 }), { minLength: 1, maxLength: 30 })
const sizes = fc.array(fc.option(fc.constantFrom(0, 40, 100, 1_000, 4_096, 100_000)), { maxLength: 30 })

test('any heads, with any table sizes in between, are decoded to what they were', () => {
  fc.assert(
    fc.property(heads, sizes, (lists, resizes) => {
      const encoder = new HpackEncoder()
      const decoder = new HpackDecoder()
      for (const [i, fields] of lists.entries()) {
        const size = resizes[i]
        if (size !== undefined && size !== null) encoder.setTableSize(size)
        const lines = fields.map(([name, value]) => fieldLine(name, value))
        const target = Buffer.alloc(encoder.limitOf(lines))
        const end = encoder.encode(200, lines, target, 0)
        assert.ok(end <= target.length)
        assert.deepEqual(decode(decoder, target.subarray(0, end)), [
          ':status: 200',
          ...fields.map(([name, value]) => `${name}: ${value}`),
        ])
      }
    }),
    { numRuns: IS_FULL ? 20_000 : 300 },
  )
})

test('a repeated line is one or two bytes; secrets and what changes are never stored', () => {
  const encoder = new HpackEncoder()
  const lengthOf = (name: string, value: string): number =>
    encoder.encode(0, [fieldLine(name, value)], Buffer.alloc(500), 0)
  const text = 'repeated-'.repeat(10)
  for (let i = 0; i < 3; i++) lengthOf('x-repeated', text)
  assert.ok(lengthOf('x-repeated', text) <= 2)
  for (const name of ['set-cookie', 'etag', 'location']) {
    for (let i = 0; i < 3; i++) lengthOf(name, text)
    assert.ok(lengthOf(name, text) > text.length)
  }
})

test('what no field may be is refused before it is sent', () => {
  assert.throws(() => fieldLine('x', 'y\r\nz'), TypeError)
  assert.throws(() => fieldLine('x', 'y\0'), TypeError)
  assert.throws(() => fieldLine('x y', 'z'), TypeError)
  assert.throws(() => fieldLine(':status', '200'), TypeError)
  assert.equal(fieldLine('X-Upper', 'v').name, 'x-upper')
})
