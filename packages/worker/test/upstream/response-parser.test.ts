// What an upstream's bytes mean: the same however they are cut into reads, and never more than another parser
// would make of them.
import assert from 'node:assert/strict'
import { request } from 'node:http'
import net from 'node:net'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { ResponseParser } from '../../src/upstream/http1/response-parser.ts'
import { excerptOf } from '../../src/upstream/http1/bad-response.ts'
import { listen } from '../../../../test/harness/ports.ts'

interface Response {
  readonly status: number
  readonly reason: string
  readonly fields: readonly string[]
  readonly body: string
  readonly trailers: readonly string[]
}

interface Outcome {
  /** Interim ones too; of an incomplete one what has come. */
  readonly responses: readonly Response[]
  readonly keepsAlive: boolean
}

/** @throws what the parser throws */
function parse(reads: readonly Buffer[], { method = 'GET', isClosed = false } = {}): Outcome {
  const responses: { status: number; reason: string; fields: readonly string[]; body: string }[] = []
  const parser = new ResponseParser({
    onHead: ({ status, reason, fields }) => void responses.push({ status, reason, fields, body: '' }),
    onData: (chunk) => {
      responses.at(-1)!.body += chunk.toString('latin1')
    },
  })
  parser.begin(method)
  for (const read of reads) parser.execute(read)
  if (isClosed) parser.finish()
  assert.ok(parser.isComplete, 'incomplete')
  return {
    responses: responses.map((response, i) => ({
      ...response,
      trailers: i === responses.length - 1 ? parser.trailers : [],
    })),
    keepsAlive: parser.keepsAlive,
  }
}

function bytesOf(text: string): Buffer {
  return Buffer.from(text, 'latin1')
}

/** How long it takes to read 20,000 interim heads whose lines end like that (ms). */
function shortHeadsMs(lineEnd: string): number {
  const read = bytesOf(`${`HTTP/1.1 102${lineEnd.repeat(2)}`.repeat(20_000)}HTTP/1.1 204\n\n`)
  const startMs = performance.now()
  parse([read])
  return performance.now() - startMs
}

function byteByByte(text: string): Buffer[] {
  return Array.from(bytesOf(text), (byte) => Buffer.of(byte))
}

const CHUNKED =
  'HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\nTrailer: X\r\n\r\n5;a="b"\r\nhello\r\n00a\r\n0123456789\r\n0\r\nX: y\r\n\r\n'
const SAMPLES: readonly (readonly [name: string, text: string, body: string])[] = [
  ['a length', 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-A:  b\t \r\n\r\nok', 'ok'],
  ['no content', 'HTTP/1.1 204 No Content\r\n\r\n', ''],
  ['no reason', 'HTTP/1.1 404\r\nContent-Length: 0\r\n\r\n', ''],
  [
    'interim responses',
    'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 \r\nLink: <x>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nz',
    'z',
  ],
  ['chunks with extensions and trailers', CHUNKED, 'hello0123456789'],
  ['LF alone', 'HTTP/1.1 200 OK\nContent-Length: 2\nX: y\n\nok', 'ok'],
  [
    'a CGI head behind one with CRLF',
    'HTTP/1.1 200 OK\r\nX: y\r\nContent-Length: 5\n\na\r\n\r\n',
    'a\r\n\r\n',
  ],
  ['LF, then an empty line with CRLF', 'HTTP/1.1 200 OK\r\nContent-Length: 4\n\r\n\r\n\r\n', '\r\n\r\n'],
  ['CRLF, then an empty line with LF', 'HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\nz', 'z'],
  ['chunks with LF alone', 'HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n2\nhi\n0\nX: y\n\n', 'hi'],
  [
    'chunks with LF alone, no trailers',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\n0\n\n',
    'hi',
  ],
  [
    'padded chunk sizes',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2  \r\nhi\r\n1 ; a = b \r\n!\r\n0 \t\r\n\r\n',
    'hi!',
  ],
  [
    'zero-filled chunk sizes',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0000000000000002\r\nhi\r\n0000000000000000\r\n\r\n',
    'hi',
  ],
  [
    'equal lengths in two fields',
    'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok',
    'ok',
  ],
  ['equal lengths in one field', 'HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok', 'ok'],
  ['a status beyond 599', 'HTTP/1.1 999 Request denied\r\nContent-Length: 2\r\n\r\nok', 'ok'],
  ['a higher minor version', 'HTTP/1.2 200 OK\r\nContent-Length: 2\r\n\r\nok', 'ok'],
]

for (const [name, text, body] of SAMPLES) {
  test(`${name}: read the same in one piece, in two at any place, and byte by byte`, () => {
    const whole = parse([bytesOf(text)])
    assert.equal(whole.responses.at(-1)?.body, body)
    assert.ok(whole.keepsAlive)
    for (let at = 1; at < text.length; at++) {
      assert.deepEqual(parse([bytesOf(text.slice(0, at)), bytesOf(text.slice(at))]), whole)
    }
    assert.deepEqual(parse(byteByByte(text)), whole)
  })
}

test('a field line means the same however often it has come', () => {
  const line = fc.tuple(
    fc.constantFrom('Content-Type', 'content-type', 'X-Same', 'x-same', 'Set-Cookie', 'ETag'),
    fc.constantFrom(':', ': ', ':\t ', ':  '),
    fc.constantFrom('', 'a', 'b: c', '\xe4', 'x'.repeat(300)),
    fc.constantFrom('', ' ', '\t'),
    fc.constantFrom('\r\n', '\n'),
  )
  fc.assert(
    fc.property(fc.array(line, { maxLength: 8 }), (lines) => {
      const head = `HTTP/1.1 204 x\r\n${lines.map((parts) => parts.join('')).join('')}\r\n`
      const fields = lines.flatMap(([name, , value]) => [name.toLowerCase(), value])
      for (let times = 0; times < 4; times++)
        assert.deepEqual(parse([bytesOf(head)]).responses[0]?.fields, fields)
    }),
  )
})

test('a line that is refused is refused every time', () => {
  for (let times = 0; times < 4; times++)
    assert.throws(() => parse([bytesOf('HTTP/1.1 204 x\r\nX-Bad : a\r\n\r\n')]), {
      code: 'UPSTREAM_PROTOCOL',
    })
})

test('many short heads in one read cost about the same whichever way their lines end', () => {
  shortHeadsMs('\r\n')
  const crlfMs = Math.max(shortHeadsMs('\r\n'), shortHeadsMs('\r\n'))
  const lfMs = Math.min(shortHeadsMs('\n'), shortHeadsMs('\n'), shortHeadsMs('\n'))
  assert.ok(lfMs < 8 * crlfMs, `${lfMs} ms against ${crlfMs} ms`)
})

test('names in lower case, values without the space around them, trailers apart', () => {
  const { responses } = parse([bytesOf(CHUNKED)])
  assert.deepEqual(responses, [
    {
      status: 200,
      reason: 'OK',
      fields: ['transfer-encoding', 'Chunked', 'trailer', 'X'],
      body: 'hello0123456789',
      trailers: ['x', 'y'],
    },
  ])
})

test('which connections can be used again', () => {
  const keeps = (head: string, method = 'GET'): boolean =>
    parse([bytesOf(`${head}\r\n\r\n`)], { method, isClosed: true }).keepsAlive
  assert.ok(keeps('HTTP/1.1 200 OK\r\nContent-Length: 0'))
  assert.ok(keeps('HTTP/1.1 304 Not Modified\r\nContent-Length: 5'))
  assert.ok(keeps('HTTP/1.1 200 OK\r\nContent-Length: 5', 'HEAD'))
  assert.ok(!keeps('HTTP/1.0 200 OK\r\nContent-Length: 0'))
  assert.ok(!keeps('HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: x, Close'))
  assert.ok(!keeps('HTTP/1.1 200 OK'), 'its close ends the body')
  assert.ok(!parse([bytesOf('HTTP/1.1 204 No Content\r\n\r\nx')]).keepsAlive, 'a byte too many')
})

const REFUSED: readonly string[] = [
  'HTTP/1.x 200 OK\r\n\r\n',
  'HTTP/2 200 OK\r\n\r\n',
  'http/1.1 200 OK\r\n\r\n',
  'HTTP/1.1  200 OK\r\n\r\n',
  'HTTP/1.1 2000 OK\r\n\r\n',
  'HTTP/1.1 20 OK\r\n\r\n',
  'HTTP/1.1 099 OK\r\n\r\n',
  'HTTP/1.1 101 Switching Protocols\r\n\r\n',
  '\r\nHTTP/1.1 200 OK\r\n\r\n',
  'HTTP/1.1 200 OK\r\nX\r\n\r\n',
  'HTTP/1.1 200 OK\r\n: x\r\n\r\n',
  'HTTP/1.1 200 OK\r\nX : y\r\n\r\n',
  'HTTP/1.1 200 OK\r\nX: y\r\n z\r\n\r\n',
  'HTTP/1.1 200 OK\r\nX: y\rContent-Length: 5\r\n\r\n',
  'HTTP/1.1 200 OK\r\nX: \0\r\n\r\n',
  'HTTP/1.1 200 OK\r\nContent-Length: 1, 2\r\n\r\n',
  'HTTP/1.1 200 OK\r\nContent-Length: 1,\r\n\r\n',
  'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n',
  'HTTP/1.1 200 OK\nContent-Length: 1\nTransfer-Encoding: chunked\n\n',
  'HTTP/1.1 200 OK\nX: y\rContent-Length: 5\n\n',
  'HTTP/1.1 200 OK\nX: y\n z\n\n',
  'HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n',
  'HTTP/1.1 200 OK\r\nContent-Length: 0x1\r\n\r\n',
  'HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n',
  'HTTP/1.1 200 OK\r\nContent-Length: 9999999999999999\r\n\r\n',
  'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n',
  'HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n',
  'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n',
  'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n',
  ...[
    '',
    'x',
    '-1',
    '1 2',
    ' 1',
    '1 \0',
    ';a',
    '1 \rx',
    '1\na\n\n',
    '1\nab',
    '0x1',
    '12345678901234',
    '1;\0',
    '1\r\nab',
    '0\rx\r\n\r\n',
    '0\r\nX\r\n\r\n',
  ].map((framing) => `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${framing}\r\n`),
]

test('what two parsers could read differently is no response', () => {
  for (const text of REFUSED) {
    assert.throws(() => parse([bytesOf(text)]), { code: 'UPSTREAM_PROTOCOL' }, JSON.stringify(text))
    assert.throws(() => parse(byteByByte(text)), { code: 'UPSTREAM_PROTOCOL' }, JSON.stringify(text))
  }
})

/** Each refusal, and the bytes that the log shows at debug level. */
const RULES: readonly (readonly [text: string, rule: string, excerpt: string | undefined])[] = [
  ['SSH-2.0-OpenSSH\r\n', 'not HTTP/1', 'SSH-2.0-OpenSSH\\x0d\\x0a'],
  ['HTTP/1.x 200 OK\r\n\r\n', 'HTTP version', 'HTTP/1.x 200 OK'],
  ['HTTP/1.1 2x0 OK\r\n\r\n', 'status', 'HTTP/1.1 2x0 OK'],
  ['HTTP/1.1 2000 OK\r\n\r\n', 'status line', 'HTTP/1.1 2000 OK'],
  ['HTTP/1.1 200 \0\r\n\r\n', 'reason phrase', 'HTTP/1.1 200 \\x00'],
  ['HTTP/1.1 200 OK\r\nX\r\n\r\n', 'field line without a colon', 'X'],
  ['HTTP/1.1 200 OK\r\nX : \\y\r\n\r\n', 'field name', 'X : \\\\y'],
  ['HTTP/1.1 200 OK\r\nX: \x7f\r\n\r\n', 'field value', 'X: \\x7f'],
  ['HTTP/1.1 200 OK\r\nContent-Length: 1x\r\n\r\n', 'Content-Length', '1x'],
  ['HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n', 'different Content-Length', '2'],
  [`HTTP/1.1 200 OK\r\nX: ${'x'.repeat(70_000)}`, 'header section too large', undefined],
  ['HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz', 'chunk size', undefined],
  ['HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n12345678901234', 'chunk size too large', undefined],
  ['HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab', 'chunk longer than its size', undefined],
]

test('a refusal names its rule, and keeps the offending bytes for the log', () => {
  for (const [text, rule, excerpt] of RULES) {
    assert.throws(
      () => parse([bytesOf(text)]),
      (error: Error) => {
        assert.equal(error.message, `bad response: ${rule}`)
        if (excerpt !== undefined) assert.equal(excerptOf(error), excerpt)
        assert.ok((excerptOf(error)?.length ?? 0) <= 320)
        return true
      },
    )
  }
})

test('what ends too early says how early', () => {
  for (const [text, code] of [
    ['', 'UPSTREAM_RESET'],
    ['HTTP/1.1 200', 'UPSTREAM_PROTOCOL'],
    ['HTTP/1.1 103 Early Hints\r\n\r\n', 'UPSTREAM_PROTOCOL'],
    ['HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no', 'UPSTREAM_TRUNCATED'],
    ['HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n', 'UPSTREAM_TRUNCATED'],
    ['HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: y\r\n', 'UPSTREAM_TRUNCATED'],
  ] as const) {
    assert.throws(() => parse(text === '' ? [] : [bytesOf(text)], { isClosed: true }), { code }, text)
  }
})

test('sections and extensions have a limit, in one piece or byte by byte', () => {
  const long = 'x'.repeat(70_000)
  for (const text of [
    `HTTP/1.1 200 OK\r\nX: ${long}`,
    `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: ${long}`,
    `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;${long}`,
  ]) {
    assert.throws(() => parse([bytesOf(text)]), { code: 'UPSTREAM_PROTOCOL' })
    assert.throws(() => parse(byteByByte(text)), { code: 'UPSTREAM_PROTOCOL' })
  }
})

/** Responses of pieces that are mostly right. */
const sample = fc
  .tuple(
    fc.constantFrom('HTTP/1.1 200 OK\r\n', 'HTTP/1.0 200 OK\r\n', 'HTTP/1.1 204 No Content\r\n', '\r\n'),
    fc.array(
      fc.constantFrom(
        'Content-Length: 3\r\n',
        'Content-Length: 0\r\n',
        'Transfer-Encoding: chunked\r\n',
        'Connection: close\r\n',
        'X-A:b \r\n',
        'X-A: \u00e4\r\n',
        ' folded\r\n',
        'X\r\n',
      ),
      { maxLength: 3 },
    ),
    fc.constantFrom('\r\n', '\r\n', '\r\n', '\n', '\r'),
    fc.array(
      fc.constantFrom('abc', '3\r\nabc\r\n', '3;x=y\r\nabc\r\n', '3 \r\nabc\r\n', '0\r\n', '\r\n', '\n'),
      {
        maxLength: 4,
      },
    ),
  )
  .map(([start, fields, end, body]) => [start, ...fields, end, ...body].join(''))

test('what is taken for a response, the runtime takes for the same one', { timeout: 60_000 }, async (t) => {
  let answer = ''
  const port = await listen(
    t,
    net.createServer((socket) => {
      socket.on('error', () => {})
      socket.once('data', () => socket.end(bytesOf(answer)))
    }),
  )
  let compared = 0
  await fc.assert(
    fc.asyncProperty(sample, async (bytes) => {
      const taken = firstResponse(bytes)
      if (taken === undefined) return
      // The runtime refuses equal lengths even when it is lenient.
      answer = taken.text.replace(/(Content-Length: [0-9]+\r\n)(?=[^]*?\1)/gu, '')
      const { status, body } = taken.response
      assert.deepEqual(await asTheRuntimeReads(port), { status, body })
      compared += 1
    }),
    { numRuns: 2_000, seed: 7 },
  )
  assert.ok(compared > 500, `${compared} compared`)
})

/** Without what comes behind it, over which the runtime would give up both. */
function firstResponse(bytes: string): { text: string; response: Response } | undefined {
  for (let end = 1; end <= bytes.length; end++) {
    const text = bytes.slice(0, end)
    try {
      const response = parse([bytesOf(text)], { isClosed: end === bytes.length }).responses.at(-1)
      if (response !== undefined) return { text, response }
    } catch {}
  }
  return undefined
}

async function asTheRuntimeReads(port: number): Promise<{ status: number | undefined; body: string }> {
  return await new Promise((resolve, reject) => {
    request({ host: '127.0.0.1', port, agent: false, insecureHTTPParser: true }, (response) => {
      let body = ''
      response.setEncoding('latin1')
      response.on('data', (chunk: string) => {
        body += chunk
      })
      response.on('end', () => resolve({ status: response.statusCode, body }))
      response.on('error', reject)
    })
      .on('error', reject)
      .end()
  })
}
