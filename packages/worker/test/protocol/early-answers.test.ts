// An upstream that answers before it has read the request: the client gets that answer, whole, and what it
// still sends of the body is dropped.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { ADMITTED } from '../../src/ratelimit/limiter.ts'
import { answerOf, connectHttp2, open, request } from '../support/http2/client.ts'
import { connectRaw } from '../../../../test/harness/clients/raw-client.ts'
import { OK, startUpstream } from '../../../../test/harness/raw-upstream.ts'
import { ScriptedLimiter } from '../support/scripted-limiter.ts'
import { siteOf, startSiteServer } from '../support/site-server.ts'
import { waitFor } from '../../../../test/harness/wait.ts'

const TIMEOUT = { timeout: 30_000 }
const MEGABYTE = 1024 * 1024

test('a client that sends all of its body before it looks at the answer has it read', TIMEOUT, async (t) => {
  const length = 16 * MEGABYTE
  const upstream = await startUpstream(t, ({ socket }) => void socket.write(OK))
  const { port } = await startSiteServer(t, [siteOf(upstream.port, { bodyLimitBytes: length })])
  const client = await connectRaw(t, port)
  client.send(`POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: ${length}\r\n\r\n`)
  assert.equal((await client.response()).body, 'ok')
  const error = await new Promise((resolve) => client.socket.write(Buffer.alloc(length), resolve))
  assert.equal(error, null)
  await client.closed()
})

test('over HTTP/2 the request is over with its answer, and the connection stays', TIMEOUT, async (t) => {
  let answers = 0
  const upstream = await startUpstream(t, (connection) => {
    const isUpload = connection.received.startsWith('POST')
    if (isUpload && connection.received.length < MEGABYTE / 8) return
    // So that something of the body lies in the proxy when the answer comes.
    connection.socket.pause()
    setTimeout(() => connection.socket.write(OK), isUpload ? 200 : 0)
    answers += 1
  })
  const site = siteOf(upstream.port, { bodyLimitBytes: 64 * MEGABYTE })
  const { port, requests } = await startSiteServer(t, [site], { bodyStallTimeoutMs: 1_000 })
  const session = await connectHttp2(t, port)
  const stream = open(session, { ':path': '/', ':method': 'POST' }, false)
  const block = Buffer.alloc(MEGABYTE / 16)
  const send = (): void => {
    while (!stream.destroyed && stream.write(block));
  }
  stream.on('drain', send)
  send()
  const { status, body, resetCode } = await answerOf(stream)
  assert.deepEqual([status, body, resetCode], [200, 'ok', 0])
  await waitFor('the log', () => requests.length === 1)
  assert.equal(session.destroyed, false)
  assert.equal((await request(session)).status, 200)
  assert.equal(answers, 2)
})

test(
  'an upstream that refuses and closes, with some of the body unread: its answer comes through',
  TIMEOUT,
  async (t) => {
    const upstream = await startUpstream(t, ({ socket, received }) => {
      if (received.length < MEGABYTE / 16) return
      socket.pause()
      socket.write('HTTP/1.1 413 Too large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig', () =>
        socket.destroy(),
      )
    })
    const site = siteOf(upstream.port, { bodyLimitBytes: 64 * MEGABYTE })
    const { port, upstreamErrors } = await startSiteServer(t, [site])
    for (let i = 0; i < 5; i++) {
      const client = await connectRaw(t, port)
      client.send(`POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: ${2 * MEGABYTE}\r\n\r\n`)
      client.socket.write(Buffer.alloc(2 * MEGABYTE))
      const { status, body } = await client.response()
      assert.deepEqual([status, body], [413, 'big'])
      const answer = await request(
        await connectHttp2(t, port),
        { ':method': 'POST' },
        'x'.repeat(2 * MEGABYTE),
      )
      assert.deepEqual([answer.status, answer.body], [413, 'big'])
    }
    assert.deepEqual(upstreamErrors, [])
  },
)

test(
  'an answer that only its connection’s end ends is not complete if that was reset',
  TIMEOUT,
  async (t) => {
    const upstream = await startUpstream(t, ({ socket, received }) => {
      if (received.length < MEGABYTE / 16) return
      socket.pause()
      socket.write('HTTP/1.1 413 Too large\r\n\r\nbig', () => socket.destroy())
    })
    const site = siteOf(upstream.port, { bodyLimitBytes: 64 * MEGABYTE })
    const { port } = await startSiteServer(t, [site])
    const session = await connectHttp2(t, port)
    const answer = await request(session, { ':method': 'POST' }, 'x'.repeat(2 * MEGABYTE))
    assert.notEqual(answer.resetCode, 0)
  },
)

const SLOW_PIECES = 4
const SLOW_PIECE_MS = 700

for (const [name, status, response, retryAfterSecs, length] of [
  ['our own 413', 413, OK, ADMITTED, 2 * MEGABYTE],
  ['our own 429', 429, OK, 1, MEGABYTE],
  [
    'a 401 of the upstream, in chunks',
    401,
    'HTTP/1.1 401 Unauthorized\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n',
    ADMITTED,
    MEGABYTE,
  ],
] as const) {
  test(`${name} reaches a client that reads only when it has sent, slowly`, TIMEOUT, async (t) => {
    const limiter = new ScriptedLimiter()
    limiter.verdict = retryAfterSecs
    const upstream = await startUpstream(t, ({ socket, received }) => {
      if (received.endsWith('\r\n\r\n')) socket.write(response)
    })
    const site = siteOf(upstream.port, { bodyLimitBytes: MEGABYTE })
    const { port, server } = await startSiteServer(t, [site], {}, limiter)
    const client = await connectRaw(t, port)
    client.socket.allowHalfOpen = true
    client.socket.pause()
    client.send(`POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: ${length}\r\n\r\n`)
    const session = await connectHttp2(t, port)
    const stream = open(session, { ':path': '/', ':method': 'POST', 'content-length': length }, false)
    const answer = answerOf(stream)
    for (let i = 0; i < SLOW_PIECES; i++) {
      await delay(SLOW_PIECE_MS)
      const piece = Buffer.alloc(length / SLOW_PIECES)
      const error = await new Promise((resolve) => client.socket.write(piece, resolve))
      assert.equal(error ?? null, null)
      if (!stream.destroyed && stream.writable) stream.write(piece)
    }
    client.socket.resume()
    assert.equal((await client.response()).status, status)
    await waitFor('the connection to be let go', () => server.connectionCount === 1)
    const overHttp2 = await answer
    assert.deepEqual([overHttp2.status, overHttp2.resetCode], [status, 0])
    assert.equal(session.destroyed, false)
  })
}

test('a client that falls silent within its body is not waited for', TIMEOUT, async (t) => {
  const upstream = await startUpstream(t, ({ socket }) => void socket.write(OK))
  const { port, server } = await startSiteServer(t, [siteOf(upstream.port)])
  const client = await connectRaw(t, port)
  client.socket.allowHalfOpen = true
  client.send('POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 9\r\n\r\nx')
  assert.equal((await client.response()).body, 'ok')
  await waitFor('the connection to be let go', () => server.connectionCount === 0)
})
