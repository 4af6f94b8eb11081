// Field lines that are passed as they came: the upstream gets byte for byte what it would get if every field had been
// looked at.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { NOT_FROM_CLIENT, upstreamRequestHeaders } from '../../src/message/headers.ts'
import { parseRequest, type RequestHead } from '../../src/message/request-parser.ts'
import { HeadParser } from '../../src/protocol/http1/head-parser.ts'
import type { Http1RequestHead } from '../../src/protocol/http1/request-head.ts'
import { fieldOf } from '../../src/protocol/http2/hpack/field.ts'
import { requestHeadOf } from '../../src/protocol/http2/streams/request-head.ts'
import { requestHeadText } from '../../src/upstream/http1/request-head.ts'

const LIMITS = { maxBytes: 65_536, maxFields: 200 }
const BROWSER = [
  'Host: a.test',
  'Connection: keep-alive',
  'sec-ch-ua: "Chromium";v="131"',
  'Upgrade-Insecure-Requests: 1',
  'User-Agent: Mozilla/5.0',
  'X-Latin: \xe4',
  'Accept: text/html,*/*;q=0.8',
  'Cookie: a=b; c=d',
]

function parse(lines: readonly string[], cutAt = 0): Http1RequestHead {
  const bytes = Buffer.from(`GET /x?y HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n`, 'latin1')
  const parser = new HeadParser()
  for (const read of [bytes.subarray(0, cutAt), bytes.subarray(cutAt)])
    parser.take(read, 0, read.length, LIMITS)
  const head = parser.takeHead()
  assert.ok(head)
  return head
}

function upstreamHead(head: RequestHead, passedLines?: string): string {
  const { authority, connectionOptions, body } = parseRequest(head, { headerBytes: 65_536, headerCount: 200 })
  const { list } = upstreamRequestHeaders(passedLines === undefined ? head.rawHeaders : [], {
    client: { ip: '192.0.2.1', scheme: 'https' },
    authority,
    connectionOptions,
    requestId: 'id',
    user: undefined,
    dropsAuthorization: false,
  })
  return requestHeadText(head.method, head.target, list, body, false, passedLines)
}

test('the lines of a browser are passed as they came, without Host and Connection', () => {
  const head = parse(BROWSER)
  assert.equal(head.passedLines, `${BROWSER.slice(2).join('\r\n')}\r\n`)
  assert.equal(upstreamHead(head, head.passedLines), upstreamHead(head))
})

test('no line is passed beside a field that must not pass, however it is spelt, or has to be read', () => {
  const own = ['host', 'content-length', 'transfer-encoding', 'expect', 'connection', 'upgrade']
  for (const name of [...NOT_FROM_CLIENT, 'authorization']) {
    for (const spelling of [name, name.toUpperCase(), name.replace('-', '_')]) {
      // These are taken out alone.
      if (own.includes(spelling.toLowerCase())) continue
      assert.equal(parse([...BROWSER, `${spelling}: x`]).passedLines, undefined, spelling)
    }
  }
  assert.equal(parse([...BROWSER, 'cookie: e=f']).passedLines, undefined)
})

test('a line with other blanks than ours is not passed as it came', () => {
  for (const line of ['X:a', 'X:  a', 'X:\ta', 'X: a ', 'X: a\t', 'X:', 'X: '])
    assert.equal(parse([...BROWSER, line]).passedLines, undefined, JSON.stringify(line))
})

test('an upstream gets the same head, passed or put together, wherever the reads of it end', () => {
  const name = fc
    .constantFrom(...NOT_FROM_CLIENT, 'authorization', 'cookie', 'accept', 'x-forwarded', 'x-a', 'x', 'hosts')
    .chain((one) => fc.constantFrom(one, one, one.toUpperCase(), one.replace('-', '_')))
    .filter((one) => !/^(?:host|transfer-encoding|content-length|expect)$/i.test(one))
  const value = fc.constantFrom('a', 'a b', '', '\xff', 'keep-alive', 'x-a', 'Negotiate x')
  const line = fc.tuple(
    name,
    fc.constantFrom(': ', ': ', ': ', ':', ':\t'),
    value,
    fc.constantFrom('', '', ' '),
  )
  fc.assert(
    fc.property(fc.array(line, { maxLength: 6 }), fc.nat(60), (lines, cutAt) => {
      const head = parse(['Host: a.test', ...lines.map((parts) => parts.join(''))], cutAt)
      const { connectionOptions } = parseRequest(head, { headerBytes: 65_536, headerCount: 200 })
      if (head.passedLines === undefined || connectionOptions.length > 0) return
      assert.equal(upstreamHead(head, head.passedLines), upstreamHead(head))
    }),
    { numRuns: 3_000 },
  )
})

test('over HTTP/2 an upstream gets the same head, with the crumbs of its cookies joined', () => {
  const plain = ['accept', 'cookie', 'x-a', 'priority', 'te', 'authorization', 'host', 'content-length']
  const names = [...plain, ...NOT_FROM_CLIENT].map((name) => name.toLowerCase())
  const name = fc
    .constantFrom(...names)
    .chain((one) => fc.constantFrom(one, one, one.replace('-', '_')))
    .filter((one) => one !== 'expect')
  const value = fc.constantFrom('a', 'a b', '', '\xff', '0', 'trailers', 'a.test')
  const pseudo = [
    [':method', 'GET'],
    [':scheme', 'https'],
    [':authority', 'a.test'],
    [':path', '/'],
  ] as const
  let passed = 0
  fc.assert(
    fc.property(fc.array(fc.tuple(name, value), { maxLength: 8 }), (fields) => {
      const head = requestHeadOf(
        [...pseudo, ...fields].map(([one, its]) => fieldOf(one, its)),
        true,
      )
      if (head?.passedLines === undefined || fields.some(([one]) => one === 'host')) return
      passed += 1
      assert.equal(upstreamHead(head, head.passedLines), upstreamHead(head))
    }),
    { numRuns: 3_000 },
  )
  assert.ok(passed > 300, `${passed} heads`)
})
