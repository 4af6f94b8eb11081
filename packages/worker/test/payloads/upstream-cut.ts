// Payload: an upstream that is reset in the middle of its answer, which left clients waiting for ever.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FRAME, headersFrame } from '../support/http2/frames.ts'
import { connectRawHttp2, requestFields } from '../support/http2/raw-client.ts'
import { connectRaw } from '../../../../test/harness/clients/raw-client.ts'
import type { UpstreamConnection } from '../../../../test/harness/raw-upstream.ts'
import { forwarded, sendAndKeep, sharedWorker, startTarget, withoutDate } from '../support/target.ts'
import { waitFor } from '../../../../test/harness/wait.ts'

const TIMEOUT = { timeout: 20_000 }
const INTERNAL_ERROR = 2

/** `passed` is the body as an HTTP/1.1 client gets it, where that is not as the upstream sent it. */
const CUT: readonly (readonly [name: string, fields: string, body: string, text: string, passed?: string])[] =
  [
    ['Content-Length: 1000 and 7 bytes', 'Content-Length: 1000', '7 bytes', '7 bytes'],
    ['chunks', 'Transfer-Encoding: chunked', '7\r\n7 bytes\r\n', '7 bytes'],
    [
      'an event stream',
      'Content-Type: text/event-stream\r\nTransfer-Encoding: chunked',
      '9\r\ndata: 7\n\n\r\n',
      'data: 7\n\n',
    ],
    ['a body that its close would end', 'Connection: close', '7 bytes', '7 bytes', '7\r\n7 bytes\r\n'],
  ]

for (const [name, fields, body, text, passed = body] of CUT) {
  test(
    `payload: the upstream is reset within ${name}: so is the client, and the log says so`,
    TIMEOUT,
    async (t) => {
      let connection: UpstreamConnection | undefined
      const target = await startTarget(t, {
        behave: (current) => {
          connection = current
          current.socket.write(`HTTP/1.1 200 OK\r\n${fields}\r\n\r\n${body}`)
        },
      })
      const worker = await sharedWorker()
      const reports = (): number => worker.output().split('error=truncated').length - 1
      const before = reports()

      const client = await connectRaw(t, target.port)
      client.send('GET /x HTTP/1.1\r\nHost: a.example\r\n\r\n')
      await client.until((seen) => seen.includes(passed))
      connection?.socket.resetAndDestroy()
      await client.closed()
      const all = withoutDate(client.received())
      assert.ok(all.startsWith('HTTP/1.1 200 OK\r\n') && all.endsWith(`\r\n\r\n${passed}`), all)

      const session = await connectRawHttp2(t, target.port)
      session.send(headersFrame(1, requestFields('/x')))
      await session.until((frames) => frames.some(({ type }) => type === FRAME.data))
      connection?.socket.resetAndDestroy()
      const { status, body: part, errorCode } = await session.outcome(1)
      assert.deepEqual([status, part, errorCode], [200, text, INTERNAL_ERROR])

      await waitFor('the log to say so', () => reports() === before + 2)
      assert.equal(target.upstream.received(), forwarded('GET /x').repeat(2))
    },
  )
}

test('payload: an upstream that closes in order ends a body without other framing', TIMEOUT, async (t) => {
  const target = await startTarget(t, {
    behave: ({ socket }) => void socket.end('HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n7 bytes'),
  })
  const seen = await sendAndKeep(t, target, 'GET /x HTTP/1.1\r\nHost: a.example\r\n\r\n')
  assert.ok(seen.endsWith('\r\n\r\n7\r\n7 bytes\r\n0\r\n\r\n'), seen)
  const session = await connectRawHttp2(t, target.port)
  session.send(headersFrame(1, requestFields('/x')))
  const { status, body, errorCode } = await session.outcome(1)
  assert.deepEqual([status, body, errorCode], [200, '7 bytes', undefined])
})
