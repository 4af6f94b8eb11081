// HTTP/2 requests that RFC 9113 calls malformed, or that would be another request over HTTP/1.1: each
// with its section, what its sender sees and what the upstream gets. docs/http2.md is the summary.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { waitFor } from '../../../../test/harness/wait.ts'
import { dataFrame, headersFrame, type Fields } from '../support/http2/frames.ts'
import { connectRawHttp2, requestFields } from '../support/http2/raw-client.ts'
import { forwarded, receivedBefore, startTarget } from '../support/target.ts'

const TIMEOUT = { timeout: 20_000 }
const PROTOCOL_ERROR = 1
const [METHOD = ['', ''], SCHEME = ['', ''], PATH = ['', ''], AUTHORITY = ['', '']] = requestFields('/x')
const GET = requestFields('/x')
const POST = requestFields('/x', 'POST')

function without(name: string): Fields {
  return GET.filter(([candidate]) => candidate !== name)
}

function replacing(name: string, value: string): Fields {
  return GET.map((field) => (field[0] === name ? [name, value] : field))
}

interface Malformed {
  readonly what: string
  readonly fields: Fields
  /** Undefined: END_STREAM comes with the header section. */
  readonly body?: string
}

/** Malformed: an error of the stream (RFC 9113 8.1.1), and no request. */
const RESET: readonly Malformed[] = [
  { what: '8.2: an upper-case name', fields: [...GET, ['X-Up', 'y']] },
  { what: '8.2.2: connection', fields: [...GET, ['connection', 'x-forwarded-for']] },
  { what: '8.2.2: keep-alive', fields: [...GET, ['keep-alive', '1']] },
  { what: '8.2.2: proxy-connection', fields: [...GET, ['proxy-connection', '1']] },
  {
    what: '8.2.2: transfer-encoding',
    fields: [...POST, ['transfer-encoding', 'chunked']],
    body: '0\r\n\r\n',
  },
  { what: '8.2.2: upgrade', fields: [...GET, ['upgrade', 'h2c']] },
  { what: '8.2.2: te other than trailers', fields: [...GET, ['te', 'gzip']] },
  { what: '8.3: an unknown pseudo-header', fields: [...GET, [':other', 'y']] },
  { what: '8.3: a pseudo-header of answers', fields: [...GET, [':status', '200']] },
  { what: '8.3: a pseudo-header behind a field', fields: [...without(':path'), ['x', 'y'], PATH] },
  { what: '8.3: :path twice', fields: [...GET, [':path', '/y']] },
  { what: '8.3: :authority twice', fields: [...GET, AUTHORITY] },
  { what: '8.3.1: a malformed host', fields: [...without(':authority'), ['host', 'a.example/x']] },
  {
    what: '8.3.1: two host',
    fields: [...GET, ['host', 'a.example'], ['host', 'a.example']],
  },
  { what: '8.3.1: no :method', fields: without(':method') },
  { what: '8.3.1: no :scheme', fields: without(':scheme') },
  { what: '8.3.1: no :path', fields: without(':path') },
  { what: '8.3.1: an empty :path', fields: replacing(':path', '') },
  { what: '8.3.1: a :path without slash', fields: replacing(':path', 'x') },
  { what: '8.3.1: a :path with a scheme', fields: replacing(':path', 'https://b.example/') },
  {
    what: '8.3.1: a request line in :path',
    fields: replacing(':path', '/x HTTP/1.1\r\nHost: b.example\r\n\r\n'),
  },
  { what: '8.3.1: a request line in :method', fields: replacing(':method', 'GET /y HTTP/1.1\r\n\r\nGET') },
  { what: '8.3.1: a field in :scheme', fields: replacing(':scheme', 'https\r\nx: y') },
  { what: '8.3.1: a field in :authority', fields: replacing(':authority', 'a.example\r\nx: y') },
  { what: '8.3.1: userinfo in :authority', fields: replacing(':authority', 'u@a.example') },
  { what: '8.3.1: neither :authority nor host', fields: without(':authority') },
  { what: '8.5: CONNECT with a :path', fields: replacing(':method', 'CONNECT') },
  { what: '8.1.1: content-length of no body', fields: [...GET, ['content-length', '3']] },
  {
    what: '8.1.1: two content-length',
    fields: [...POST, ['content-length', '2'], ['content-length', '2']],
    body: 'hi',
  },
  { what: '8.1.1: a signed content-length', fields: [...POST, ['content-length', '+2']], body: 'hi' },
  { what: '8.1.1: a list of content-length', fields: [...POST, ['content-length', '2, 2']], body: 'hi' },
]

/** Well-formed, but not for us: an answer, and the connection goes on. */
const ANSWERED: readonly (Malformed & { readonly status: number; readonly text: string })[] = [
  {
    what: '8.3.1: host and :authority differ',
    fields: [...GET, ['host', 'b.example']],
    status: 400,
    text: 'Bad Request',
  },
  {
    what: '8.3.1: a port that is none',
    fields: replacing(':authority', 'a.example:99999'),
    status: 400,
    text: 'Bad Request',
  },
  { what: '8.3.1: another :scheme', fields: replacing(':scheme', 'ftp'), status: 400, text: 'Bad Request' },
  {
    what: '8.3.1: a fragment in :path',
    fields: replacing(':path', '/x#y'),
    status: 400,
    text: 'Bad Request',
  },
  {
    what: '8.3.1: a :path beyond ASCII',
    fields: replacing(':path', '/\u00c3\u00a9'),
    status: 400,
    text: 'Bad Request',
  },
  {
    what: '8.3.1: OPTIONS *',
    fields: [[':method', 'OPTIONS'], SCHEME, [':path', '*'], AUTHORITY],
    status: 400,
    text: 'Bad Request',
  },
  {
    what: '8.5: CONNECT',
    fields: [[':method', 'CONNECT'], AUTHORITY],
    status: 405,
    text: 'Method Not Allowed',
  },
  { what: 'an unknown host', fields: replacing(':authority', 'x.example'), status: 404, text: 'Not Found' },
  {
    what: 'an unknown expectation',
    fields: [...POST, ['expect', 'x']],
    body: 'hi',
    status: 417,
    text: 'Expectation Failed',
  },
]

/** RFC 9113 8.2.1: what could end a field or a line for somebody, and names that are none. */
const UNSAFE: Fields = [
  ['x', 'y\r\nx-forwarded-for: 6.6.6.6'],
  ['x', 'y\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a.example\r\n\r\n'],
  ['x', 'y\rz'],
  ['x', 'y\nz'],
  ['x', 'y\0z'],
  ['x', 'y\u0001z'],
  ['x', 'y\u007fz'],
  ['x', ' y'],
  ['x', 'y\t'],
  ['x y', 'z'],
  ['x:y', 'z'],
  ['x\r\nhost: b.example', 'z'],
  ['x\u00e9', 'z'],
  ['', 'z'],
]

test(
  'HTTP/2, malformed: the stream is reset, nothing goes up, the connection goes on',
  TIMEOUT,
  async (t) => {
    const target = await startTarget(t)
    const client = await connectRawHttp2(t, target.port)
    let streamId = 1
    for (const { what, fields, body } of RESET) {
      client.send(headersFrame(streamId, fields, body === undefined))
      if (body !== undefined) client.send(dataFrame(streamId, body))
      const outcome = await client.outcome(streamId)
      assert.deepEqual(outcome, { status: 0, body: '', errorCode: PROTOCOL_ERROR }, what)
      streamId += 2
    }
    assert.equal(await client.ask('/alive'), 200)
    assert.equal(await receivedBefore(t, target), forwarded('GET /alive'))
  },
)

test(
  'HTTP/2, 8.1.1: a body of another length than content-length never becomes a request',
  TIMEOUT,
  async (t) => {
    const smuggled = 'hiGET /smuggled HTTP/1.1\r\nHost: a.example\r\n\r\n'
    for (const declared of [2, smuggled.length + 1]) {
      const target = await startTarget(t)
      const client = await connectRawHttp2(t, target.port)
      client.send(
        headersFrame(1, [...POST, ['content-length', String(declared)]], false),
        dataFrame(1, smuggled),
      )
      const { status, errorCode = 0 } = await client.outcome(1)
      assert.equal(status, 0)
      assert.notEqual(errorCode, 0)
      // Less than the whole of it may be on its way by then; its connection carries nothing else.
      const whole = forwarded('POST /x', { body: smuggled }).replace(
        `: ${smuggled.length}\r`,
        `: ${declared}\r`,
      )
      const received = await receivedBefore(t, target)
      assert.ok(whole.startsWith(received), received)
      const begun = target.upstream.connections.filter((connection) => connection.received.startsWith('POST'))
      await waitFor('what was begun to be given up', () => begun.every(({ socket }) => socket.destroyed))
    }
  },
)

test('HTTP/2, refused: an answer, nothing goes up, the connection goes on', TIMEOUT, async (t) => {
  const target = await startTarget(t)
  const client = await connectRawHttp2(t, target.port)
  let streamId = 1
  for (const { what, fields, body, status, text } of ANSWERED) {
    client.send(headersFrame(streamId, fields, body === undefined))
    if (body !== undefined) client.send(dataFrame(streamId, body))
    const outcome = await client.outcome(streamId)
    assert.deepEqual([outcome.status, outcome.body], [status, text], what)
    streamId += 2
  }
  assert.equal(await client.ask('/alive'), 200)
  assert.equal(await receivedBefore(t, target), forwarded('GET /alive'))
})

test('HTTP/2: CR, LF, NUL and worse in a field never reach anybody', TIMEOUT, async (t) => {
  const target = await startTarget(t)
  const client = await connectRawHttp2(t, target.port)
  let streamId = 1
  for (const field of UNSAFE) {
    client.send(headersFrame(streamId, [...GET, field]))
    assert.deepEqual(await client.outcome(streamId), { status: 0, body: '', errorCode: PROTOCOL_ERROR })
    streamId += 2
  }
  assert.equal(await client.ask('/alive'), 200)
  assert.equal(await receivedBefore(t, target), forwarded('GET /alive'))
})

test('HTTP/2: what is well-formed goes up byte for byte, framed anew', TIMEOUT, async (t) => {
  const target = await startTarget(t)
  const client = await connectRawHttp2(t, target.port)
  const cases: readonly (readonly [fields: Fields, body: string | undefined, sent: string])[] = [
    [[...without(':authority'), ['host', 'a.example']], undefined, forwarded('GET /x')],
    [[...GET, ['host', 'a.example'], ['te', 'trailers'], ['trailer', 'x']], undefined, forwarded('GET /x')],
    [replacing(':path', '//a/../%2F?"<>|'), undefined, forwarded('GET //a/../%2F?"<>|')],
    [
      [...GET, ['cookie', 'a=1'], ['x', 'y\u00ffz'], ['cookie', 'b=2']],
      undefined,
      forwarded('GET /x', { fields: 'cookie: a=1; b=2\r\nx: y\u00ffz\r\n' }),
    ],
    [[...POST, ['content-length', '2']], 'hi', forwarded('POST /x', { body: 'hi' })],
    [POST, 'hi', forwarded('POST /x', { body: 'hi', isChunked: true })],
    [replacing(':method', 'GET'), 'hi', forwarded('GET /x', { body: 'hi', isChunked: true })],
    [replacing(':method', 'get'), undefined, forwarded('get /x')],
    [[...GET, ['content-length', '0']], undefined, forwarded('GET /x', { body: '' })],
  ]
  let streamId = 1
  for (const [fields, body] of cases) {
    client.send(headersFrame(streamId, fields, body === undefined))
    if (body !== undefined) client.send(dataFrame(streamId, body))
    assert.deepEqual(await client.outcome(streamId), { status: 200, body: 'ok', errorCode: undefined })
    streamId += 2
  }
  assert.equal(await receivedBefore(t, target), cases.map(([, , sent]) => sent).join(''))
})

test(
  'HTTP/2, 8.1: request trailers are dropped; a request that ends by them alone has ended',
  TIMEOUT,
  async (t) => {
    const target = await startTarget(t)
    const client = await connectRawHttp2(t, target.port)
    client.send(headersFrame(1, POST, false), dataFrame(1, 'hi', false))
    client.send(headersFrame(1, [['x-forwarded-for', '6.6.6.6']]))
    assert.deepEqual(await client.outcome(1), { status: 200, body: 'ok', errorCode: undefined })
    // 8.1: pseudo-headers are no trailers; and trailers end the stream.
    client.send(headersFrame(3, POST, false), headersFrame(3, [METHOD, PATH]))
    assert.deepEqual(await client.outcome(3), { status: 0, body: '', errorCode: PROTOCOL_ERROR })
    client.send(headersFrame(5, POST, false), headersFrame(5, [['x', 'y']], false))
    assert.deepEqual(await client.outcome(5), { status: 0, body: '', errorCode: PROTOCOL_ERROR })
    const sent = forwarded('POST /x', { body: 'hi', isChunked: true })
    assert.equal(await receivedBefore(t, target), sent)
  },
)
