// Payload: `Trailer` on a request, which ended node-http-proxy (1647) and httpxy, and trailers themselves.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { answering, OK } from '../../../../test/harness/raw-upstream.ts'
import {
  assertNotCompleted,
  forwarded,
  passedOn,
  receivedBefore,
  refusal,
  sendAndKeep,
  sendUntilClosed,
  startTarget,
} from '../support/target.ts'

const TIMEOUT = { timeout: 20_000 }

for (const field of [
  'Trailer: x',
  'Trailer: cookie ',
  'Trailer: Content-Length, Host',
  'TE: trailers, gzip',
]) {
  test(`payload: GET with ${field} is served, and that is not passed on`, TIMEOUT, async (t) => {
    const target = await startTarget(t)
    const seen = await sendAndKeep(t, target, `GET /x HTTP/1.1\r\nHost: a.example\r\n${field}\r\n\r\n`)
    assert.equal(seen, passedOn())
    assert.equal(await receivedBefore(t, target), forwarded('GET /x'))
  })
}

const CHUNKED =
  'POST /x HTTP/1.1\r\nHost: a.example\r\nTrailer: Host\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n'
const SENT = forwarded('POST /x', { body: 'hi', isChunked: true })

test('payload: request trailers are read and dropped, whatever they are called', TIMEOUT, async (t) => {
  const target = await startTarget(t)
  const trailers = 'Host: evil.example\r\nX-Forwarded-For: 6.6.6.6\r\n__proto__: x\r\nCookie: x\r\n'
  assert.equal(await sendAndKeep(t, target, `${CHUNKED}${trailers}\r\n`), passedOn())
  assert.equal(await receivedBefore(t, target), SENT)
})

test('payload: a trailer that frames is 400, and the request is never completed', TIMEOUT, async (t) => {
  for (const trailer of ['Content-Length: 43', 'Transfer-Encoding: chunked']) {
    const target = await startTarget(t)
    const smuggled = 'GET /smuggled HTTP/1.1\r\nHost: a.example\r\n\r\n'
    const seen = await sendUntilClosed(t, target, `${CHUNKED}${trailer}\r\n\r\n${smuggled}`)
    assert.equal(seen, refusal(400, 'Bad Request'))
    const received = await receivedBefore(t, target)
    assertNotCompleted(received, SENT)
  }
})

function get(path: string): string {
  return `GET ${path} HTTP/1.1\r\nHost: a.example\r\n\r\n`
}

for (const [status, phrase] of [
  [304, 'Not Modified'],
  [204, 'No Content'],
] as const) {
  test(`payload: ${status} with chunks and a trailer field ends with its head`, TIMEOUT, async (t) => {
    const head = `HTTP/1.1 ${status} ${phrase}\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n`
    const target = await startTarget(t, {
      behave: answering(({ line }) => (line.includes('/x') ? head : OK)),
    })
    const seen = await sendAndKeep(t, target, get('/x') + get('/next'), { answers: 2 })
    const kept = passedOn().split('content-length: 2\r\n')[1]?.replace(/ok$/u, '')
    assert.equal(seen, `HTTP/1.1 ${status} ${phrase}\r\n${kept}${passedOn()}`)
  })
}
