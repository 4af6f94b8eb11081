// An upstream that answers before it has read the request: the client gets that answer, whole, and what it
// still sends of the body is dropped.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { answerOf, connectHttp2, open, request } from './support/http2-client.ts'
import { connectRaw } from './support/raw-client.ts'
import { OK, startUpstream } from './support/raw-upstream.ts'
import { siteOf, startSiteServer } from './support/site-server.ts'
import { waitUntil } from './support/wait-until.ts'

const TIMEOUT = { timeout: 15_000 }
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
  await waitUntil('the log', () => requests.length === 1)
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
