// RFC 9113 8: requests that are malformed, each an error of its stream alone, and those that are not.
import { FLAG, FRAME, dataFrame, frame, headersFrame, type Fields } from '../../support/http2/frames.ts'
import { requestFields } from '../../support/http2/raw-client.ts'
import { ERROR, testCases, type Case } from './conformance.ts'

const GET = requestFields('/')
const POST = requestFields('/', 'POST')
const [METHOD = ['', ''], SCHEME = ['', ''], PATH = ['', ''], AUTHORITY = ['', '']] = GET
const PROTOCOL_ERROR = { stream: 1, code: ERROR.protocol }

function without(name: string): Fields {
  return GET.filter(([candidate]) => candidate !== name)
}

function replacing(name: string, value: string): Fields {
  return GET.map((field) => (field[0] === name ? [name, value] : field))
}

const MALFORMED: readonly (readonly [name: string, fields: Fields])[] = [
  ['8.2: a name in upper case', [...GET, ['X-TEST', 'ok']]],
  ['8.2.1: a name with a space', [...GET, ['x y', 'z']]],
  ['8.2.1: a name with a colon', [...GET, ['x:y', 'z']]],
  ['8.2.1: a name with CR LF', [...GET, ['x\r\nhost', 'b.example']]],
  ['8.2.1: a name beyond ASCII', [...GET, ['x\u00e9', 'z']]],
  ['8.2.1: an empty name', [...GET, ['', 'z']]],
  ['8.2.1: CR in a value', [...GET, ['x', 'y\rz']]],
  ['8.2.1: LF in a value', [...GET, ['x', 'y\nz']]],
  ['8.2.1: NUL in a value', [...GET, ['x', 'y\0z']]],
  ['8.2.1: another control byte in a value', [...GET, ['x', 'y\u0001z']]],
  ['8.2.1: DEL in a value', [...GET, ['x', 'y\u007fz']]],
  ['8.2.1: a space before a value', [...GET, ['x', ' y']]],
  ['8.2.1: a tab behind a value', [...GET, ['x', 'y\t']]],
  ['8.2.2: connection', [...GET, ['connection', 'keep-alive']]],
  ['8.2.2: keep-alive', [...GET, ['keep-alive', '1']]],
  ['8.2.2: proxy-connection', [...GET, ['proxy-connection', '1']]],
  ['8.2.2: transfer-encoding', [...GET, ['transfer-encoding', 'chunked']]],
  ['8.2.2: upgrade', [...GET, ['upgrade', 'h2c']]],
  ['8.2.2: te other than trailers', [...GET, ['te', 'trailers, deflate;q=0.5']]],
  ['8.3: an unknown pseudo-header', [...GET, [':test', 'ok']]],
  ['8.3: a pseudo-header of responses', [...GET, [':status', '200']]],
  ['8.3: a pseudo-header behind a field', [...without(':path'), ['x', 'y'], PATH]],
  ['8.3.1: an empty :path', replacing(':path', '')],
  ['8.3.1: no :method', without(':method')],
  ['8.3.1: no :scheme', without(':scheme')],
  ['8.3.1: no :path', without(':path')],
  ['8.3.1: neither :authority nor host', without(':authority')],
  ['8.3.1: :method twice', [METHOD, ...GET]],
  ['8.3.1: :scheme twice', [SCHEME, ...GET]],
  ['8.3.1: :path twice', [PATH, ...GET]],
  ['8.3.1: :authority twice', [AUTHORITY, ...GET]],
  ['8.3.1: a :path without slash', replacing(':path', 'x')],
  ['8.3.1: * with another method than OPTIONS', replacing(':path', '*')],
  ['8.3.1: a space in :path', replacing(':path', '/x y')],
  ['8.3.1: no token as :method', replacing(':method', 'GE T')],
  ['8.3.1: no scheme as :scheme', replacing(':scheme', '1:')],
  ['8.3.1: userinfo in :authority', replacing(':authority', 'u@a.example')],
  ['8.3.1: two host', [...GET, ['host', 'a.example'], ['host', 'a.example']]],
  ['8.3.1: a path in host', [...without(':authority'), ['host', 'a.example/x']]],
  ['8.5: CONNECT with :scheme and :path', replacing(':method', 'CONNECT')],
  [
    '8.5: CONNECT without :authority',
    [
      [':method', 'CONNECT'],
      ['host', 'a.example'],
    ],
  ],
  ['RFC 8441 4: :protocol with another method', [[':protocol', 'websocket'], ...GET]],
  [
    'RFC 8441 4: :protocol without :path',
    [[':protocol', 'websocket'], [':method', 'CONNECT'], SCHEME, AUTHORITY],
  ],
  ['8.1.1: content-length of a request without content', [...GET, ['content-length', '1']]],
  ['8.1.1: a content-length that is no number', [...GET, ['content-length', '0x0']]],
  ['8.1.1: two content-length', [...GET, ['content-length', '0'], ['content-length', '0']]],
]

testCases(
  'HTTP/2, malformed',
  MALFORMED.map(([name, fields]): Case => ({
    name,
    send: [headersFrame(1, fields)],
    expected: PROTOCOL_ERROR,
  })),
)

const LENGTH_1 = headersFrame(1, [...POST, ['content-length', '1']], false)
const LENGTH_9 = headersFrame(1, [...POST, ['content-length', '9']], false)

testCases('HTTP/2, malformed by what follows the head', [
  {
    name: '8.1: a second HEADERS without END_STREAM',
    send: [headersFrame(1, POST, false), headersFrame(1, [['x', 'y']], false)],
    expected: PROTOCOL_ERROR,
  },
  {
    name: '8.1: a pseudo-header among the trailers',
    send: [headersFrame(1, POST, false), dataFrame(1, 'test', false), headersFrame(1, [METHOD])],
    expected: PROTOCOL_ERROR,
  },
  {
    name: '8.1: a malformed field among the trailers',
    send: [headersFrame(1, POST, false), headersFrame(1, [['X', 'y']])],
    expected: PROTOCOL_ERROR,
  },
  {
    name: '8.1.1: a body longer than content-length',
    send: [LENGTH_1, dataFrame(1, 'test')],
    expected: PROTOCOL_ERROR,
  },
  {
    name: '8.1.1: the same in several frames',
    send: [LENGTH_1, dataFrame(1, 'te', false), dataFrame(1, 'st')],
    expected: PROTOCOL_ERROR,
  },
  {
    name: '8.1.1: a body shorter than content-length',
    send: [LENGTH_9, dataFrame(1, 'te', false), dataFrame(1, 'st')],
    expected: PROTOCOL_ERROR,
  },
  {
    name: '8.1.1: the same, ended by trailers',
    send: [LENGTH_9, dataFrame(1, 'test', false), headersFrame(1, [['x', 'y']])],
    expected: PROTOCOL_ERROR,
  },
  {
    name: '8.1.1: content-length and no content',
    send: [LENGTH_9, dataFrame(1, '')],
    expected: PROTOCOL_ERROR,
  },
])

const SOUND: readonly (readonly [name: string, fields: Fields])[] = [
  ['GET', GET],
  ['HEAD', requestFields('/', 'HEAD')],
  ['a method that nobody knows', requestFields('/', 'LIST')],
  ['te: trailers', [...GET, ['te', 'trailers']]],
  ['an empty value', [...GET, ['x', '']]],
  ['bytes beyond ASCII in a value', [...GET, ['x', 'y\u00ffz']]],
  ['host instead of :authority', [...without(':authority'), ['host', 'a.example']]],
  ['host like :authority', [...GET, ['host', 'a.example']]],
  ['OPTIONS *', [[':method', 'OPTIONS'], SCHEME, [':path', '*'], AUTHORITY]],
  ['CONNECT', [[':method', 'CONNECT'], AUTHORITY]],
  ['extended CONNECT', [[':method', 'CONNECT'], [':protocol', 'websocket'], SCHEME, PATH, AUTHORITY]],
  ['content-length: 0', [...GET, ['content-length', '0']]],
]

testCases(
  'HTTP/2, well-formed',
  SOUND.map(([name, fields]): Case => ({
    name,
    send: [headersFrame(1, fields)],
    answers: true,
    expected: { answered: [1] },
  })),
)

testCases('HTTP/2, well-formed', [
  {
    name: 'POST with trailers',
    send: [headersFrame(1, POST, false), dataFrame(1, 'test', false), headersFrame(1, [['x-test', 'ok']])],
    expected: { answered: [] },
  },
  {
    name: 'POST with the length that it declares',
    send: [
      headersFrame(1, [...POST, ['content-length', '4']], false),
      dataFrame(1, 'te', false),
      dataFrame(1, 'st'),
    ],
    expected: { answered: [] },
  },
  {
    name: 'a malformed request harms no other',
    send: [headersFrame(1, GET), headersFrame(3, GET)],
    answers: true,
    expected: { answered: [1, 3] },
  },
])

const indexed = (index: number): Buffer => Buffer.of(0x80 | index)
const literal = (first: number, name: string, value: string): Buffer =>
  Buffer.concat([
    Buffer.of(first, name.length),
    Buffer.from(name),
    Buffer.of(value.length),
    Buffer.from(value),
  ])
// :method GET, :scheme https, :path /, and :authority by a literal with the static name.
const HEAD = Buffer.concat([indexed(2), indexed(7), indexed(4), Buffer.of(0x01, 9), Buffer.from('a.example')])
const request = (streamId: number, ...fields: readonly Buffer[]): Buffer =>
  frame(FRAME.headers, FLAG.endHeaders | FLAG.endStream, streamId, Buffer.concat([HEAD, ...fields]))
// RFC 7541 C.4.1: www.example.com.
const HUFFMAN = Buffer.from('f1e3c2e5f23a6ba0ab90f4ff', 'hex')

testCases('HPACK, valid', [
  {
    name: '6.1: an indexed field',
    send: [request(1, indexed(16))],
    answers: true,
    expected: { answered: [1] },
  },
  {
    name: '6.2.1: with indexing, indexed name, and used again',
    send: [request(1, Buffer.concat([Buffer.of(0x40 | 58, 2), Buffer.from('ua')])), request(3, indexed(62))],
    answers: true,
    expected: { answered: [1, 3] },
  },
  {
    name: '6.2.1: with indexing, new name',
    send: [request(1, literal(0x40, 'x', 'y')), request(3, indexed(62), indexed(62))],
    answers: true,
    expected: { answered: [1, 3] },
  },
  {
    name: '6.2.2: without indexing, indexed name',
    send: [request(1, Buffer.of(0x0f, 43, 1, 0x61))],
    answers: true,
    expected: { answered: [1] },
  },
  {
    name: '6.2.2: without indexing, new name',
    send: [request(1, literal(0x00, 'x', 'y'))],
    answers: true,
    expected: { answered: [1] },
  },
  {
    name: '6.2.3: never indexed, indexed name',
    send: [request(1, Buffer.of(0x1f, 43, 1, 0x61))],
    answers: true,
    expected: { answered: [1] },
  },
  {
    name: '6.2.3: never indexed, new name',
    send: [request(1, literal(0x10, 'x', 'y'))],
    answers: true,
    expected: { answered: [1] },
  },
  {
    name: '5.2: a Huffman-coded value',
    send: [request(1, Buffer.concat([Buffer.of(0x00, 1, 0x78, 0x8c), HUFFMAN]))],
    answers: true,
    expected: { answered: [1] },
  },
  {
    name: '6.3: a table size update, and two of them',
    send: [
      frame(FRAME.headers, 5, 1, Buffer.concat([Buffer.of(0x20), HEAD])),
      frame(
        FRAME.headers,
        5,
        3,
        Buffer.concat([Buffer.of(0x20, 0x3f, 0xe1, 0x1f), HEAD, literal(0x40, 'x', 'y')]),
      ),
      request(5, indexed(62)),
    ],
    answers: true,
    expected: { answered: [1, 3, 5] },
  },
  {
    name: '4.4: an entry larger than the table empties it',
    send: [
      request(1, literal(0x40, 'x', 'y')),
      request(3, Buffer.concat([Buffer.of(0x40, 1, 0x78, 0x7f, 0xe1, 0x1f), Buffer.alloc(4_192, 'z')])),
    ],
    answers: true,
    expected: { answered: [1, 3] },
  },
])

const COMPRESSION = { connection: ERROR.compression }
testCases('HPACK, an error of the connection', [
  { name: '2.3.3: an index beyond the table', send: [request(1, indexed(70))], expected: COMPRESSION },
  {
    name: '2.3.3: a name of an index beyond the table',
    send: [request(1, Buffer.of(0x40 | 62, 1, 0x61))],
    expected: COMPRESSION,
  },
  {
    name: '2.3.3: an entry that has been evicted',
    send: [
      request(1, literal(0x40, 'x', 'y')),
      frame(FRAME.headers, 5, 3, Buffer.concat([Buffer.of(0x20), HEAD, indexed(62)])),
    ],
    expected: COMPRESSION,
  },
  { name: '4.2: a table size update at the end', send: [request(1, Buffer.of(0x21))], expected: COMPRESSION },
  {
    name: '5.1: an integer without end',
    send: [request(1, Buffer.of(0xff, 0x80, 0x80))],
    expected: COMPRESSION,
  },
  {
    name: '5.1: an integer too large',
    send: [request(1, Buffer.of(0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f))],
    expected: COMPRESSION,
  },
  {
    name: '5.2: a string longer than its block',
    send: [request(1, Buffer.of(0x00, 1, 0x78, 9, 0x79))],
    expected: COMPRESSION,
  },
  {
    name: '5.2: padding longer than 7 bits',
    send: [request(1, Buffer.of(0x00, 1, 0x78, 0x83, 0x1f, 0xff, 0xff))],
    expected: COMPRESSION,
  },
  {
    name: '5.2: padding that is not the beginning of EOS',
    send: [request(1, Buffer.of(0x00, 1, 0x78, 0x81, 0x18))],
    expected: COMPRESSION,
  },
  {
    name: '5.2: EOS',
    send: [request(1, Buffer.of(0x00, 1, 0x78, 0x84, 0xff, 0xff, 0xff, 0xff))],
    expected: COMPRESSION,
  },
  { name: '6.1: index 0', send: [request(1, indexed(0))], expected: COMPRESSION },
  {
    name: '6.3: a table larger than the setting',
    send: [frame(FRAME.headers, 5, 1, Buffer.concat([Buffer.of(0x3f, 0xe2, 0x1f), HEAD]))],
    expected: COMPRESSION,
  },
])
