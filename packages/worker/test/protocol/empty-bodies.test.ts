// Messages without content, and what they say about it: neither side may find less said than was.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ADMITTED } from '../../src/ratelimit/limiter.ts'
import { answerOf, connectHttp2, open, request } from '../support/http2/client.ts'
import { dataFrame, frame, FRAME, headersFrame } from '../support/http2/frames.ts'
import { connectRaw } from '../../../../test/harness/clients/raw-client.ts'
import { connectRawHttp2, requestFields } from '../support/http2/raw-client.ts'
import {
  answering,
  OK,
  readRequests,
  startUpstream,
  valuesOf,
} from '../../../../test/harness/raw-upstream.ts'
import { ScriptedLimiter } from '../support/scripted-limiter.ts'
import { siteOf, startSiteServer } from '../support/site-server.ts'
import { waitFor } from '../../../../test/harness/wait.ts'

const TIMEOUT = { timeout: 20_000 }
/** RFC 9113 6.1: END_STREAM and PADDED. */
const PADDED_END = 9

test('Content-Length: 0 goes up; a POST, PUT or PATCH without content gets one', TIMEOUT, async (t) => {
  const upstream = await startUpstream(t, answering(OK))
  const { port } = await startSiteServer(t, [siteOf(upstream.port)])
  const client = await connectRaw(t, port)
  const session = await connectHttp2(t, port)
  const expected: (readonly [method: string, lengths: readonly string[]])[] = []
  for (const [method, isDeclared, lengths] of [
    ['POST', true, ['0']],
    ['PUT', true, ['0']],
    ['PATCH', true, ['0']],
    ['DELETE', true, ['0']],
    ['OPTIONS', true, ['0']],
    ['GET', true, ['0']],
    ['PROPFIND', true, ['0']],
    ['POST', false, ['0']],
    ['PUT', false, ['0']],
    ['PATCH', false, ['0']],
    ['DELETE', false, []],
    ['GET', false, []],
    ['MKCOL', false, []],
  ] as const) {
    client.send(`${method} / HTTP/1.1\r\nHost: a.example\r\n${isDeclared ? 'Content-Length: 0\r\n' : ''}\r\n`)
    assert.equal((await client.response()).status, 200)
    const fields = isDeclared ? { 'content-length': '0' } : {}
    const answer = await request(session, { ':method': method, ...fields })
    assert.deepEqual([answer.status, answer.body], [200, 'ok'])
    expected.push([method, lengths], [method, lengths])
  }
  const sent = readRequests(upstream.received()).map(
    ({ line, headers }) =>
      [
        line.split(' ')[0],
        [...valuesOf(headers, 'content-length'), ...valuesOf(headers, 'transfer-encoding')],
      ] as const,
  )
  assert.deepEqual(sent, expected)
})

test('an HTTP/1.0 POST without content gets a length, and its connection ends', TIMEOUT, async (t) => {
  const upstream = await startUpstream(t, answering(OK))
  const { port } = await startSiteServer(t, [siteOf(upstream.port)])
  const client = await connectRaw(t, port)
  client.send('POST / HTTP/1.0\r\nHost: a.example\r\n\r\n')
  assert.equal((await client.response()).body, 'ok')
  await client.closed()
  const [sent] = readRequests(upstream.received())
  assert.deepEqual(valuesOf(sent?.headers ?? [], 'content-length'), ['0'])
})

test('an HTTP/2 body of empty DATA frames is a body that ends', TIMEOUT, async (t) => {
  const upstream = await startUpstream(t, answering(OK))
  const { port } = await startSiteServer(t, [siteOf(upstream.port)])
  const session = await connectHttp2(t, port)
  const methods = ['POST', 'PUT', 'OPTIONS', 'GET']
  for (const method of methods) {
    // As Node's own client sends it.
    const stream = open(session, { ':path': '/', ':method': method }, false)
    stream.end()
    const answer = await answerOf(stream)
    assert.deepEqual([answer.status, answer.body], [200, 'ok'], method)
  }
  const raw = await connectRawHttp2(t, port)
  const padding = Buffer.from([3, 0, 0, 0])
  for (const [i, frames] of [
    (id: number) => [dataFrame(id, '')],
    (id: number) => [dataFrame(id, '', false), dataFrame(id, '')],
    (id: number) => [frame(FRAME.data, PADDED_END, id, padding)],
  ].entries()) {
    const id = 2 * i + 1
    raw.send(headersFrame(id, requestFields('/', 'POST'), false), ...frames(id))
    assert.equal((await raw.outcome(id)).status, 200, String(i))
  }
  const sent = readRequests(upstream.received())
  assert.deepEqual(
    sent.map(({ body }) => body),
    [...methods, 1, 2, 3].map(() => ''),
  )
})

test('an empty body that ends while its request waits for the rate limit', TIMEOUT, async (t) => {
  const upstream = await startUpstream(t, answering(OK))
  const limiter = new ScriptedLimiter()
  limiter.verdict = undefined
  const { port } = await startSiteServer(t, [siteOf(upstream.port)], {}, limiter)
  const session = await connectHttp2(t, port)
  const stream = open(session, { ':path': '/', ':method': 'POST' }, false)
  const answer = answerOf(stream)
  stream.end()
  await waitFor('the request to wait', () => limiter.waiters.length === 1)
  // Behind the end of the body.
  await new Promise((resolve) => session.ping(resolve))
  limiter.waiters[0]?.onRateDecision(ADMITTED)
  assert.equal((await answer).status, 200)
})

test('what a response without content says about its length is kept', TIMEOUT, async (t) => {
  const heads = {
    '/head': 'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n',
    '/head-empty': 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n',
    '/head-unknown': 'HTTP/1.1 200 OK\r\n\r\n',
    '/304': 'HTTP/1.1 304 Not Modified\r\nContent-Length: 100\r\n\r\n',
    '/304-bare': 'HTTP/1.1 304 Not Modified\r\n\r\n',
    '/204': 'HTTP/1.1 204 No Content\r\n\r\n',
    '/205': 'HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n',
    '/empty': 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n',
    '/chunked': 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
  }
  const upstream = await startUpstream(
    t,
    answering(({ line }) => Object.entries(heads).find(([path]) => line.includes(`${path} `))?.[1] ?? OK),
  )
  const { port } = await startSiteServer(t, [siteOf(upstream.port)])
  const client = await connectRaw(t, port)
  const session = await connectHttp2(t, port)
  for (const [path, length] of [
    ['/head', '100'],
    ['/head-empty', '0'],
    ['/head-unknown', undefined],
    ['/304', '100'],
    ['/304-bare', undefined],
    ['/204', undefined],
    ['/205', '0'],
    ['/empty', '0'],
    ['/chunked', undefined],
  ] as const) {
    const method = path.startsWith('/head') ? 'HEAD' : 'GET'
    client.send(`${method} ${path} HTTP/1.1\r\nHost: a.example\r\n\r\n`)
    const { head, body } = await client.response({ toHead: method === 'HEAD' })
    assert.deepEqual([/content-length: (\d+)/iu.exec(head)?.[1], body], [length, ''], path)
    const answer = await request(session, { ':method': method, ':path': path })
    assert.deepEqual([answer.headers['content-length'], answer.body, answer.resetCode], [length, '', 0], path)
  }
})
