// Payload: an upstream's connection headers, which crashed servers when they came into an HTTP/2 answer; and
// fields that are more, or called otherwise, than a server may expect.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { connectHttp2, request } from '../support/http2/client.ts'
import { headersFrame } from '../support/http2/frames.ts'
import { connectRawHttp2, requestFields } from '../support/http2/raw-client.ts'
import { forwarded, startTarget } from '../support/target.ts'

const TIMEOUT = { timeout: 20_000 }
const HEAD =
  'HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Hop\r\nKeep-Alive: timeout=5\r\nProxy-Connection: x\r\nX-Hop: 1\r\n' +
  'Upgrade: h2c\r\nTE: trailers\r\nHTTP2-Settings: AAA\r\nServer: x\r\n'

for (const [name, framing, body] of [
  ['chunks', 'Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n', 'ok'],
  ['a length', 'Content-Length: 2\r\n\r\nok', 'ok'],
] as const) {
  test(
    `payload: connection headers of the upstream, with ${name}, never reach HTTP/2`,
    TIMEOUT,
    async (t) => {
      const target = await startTarget(t, { behave: ({ socket }) => void socket.write(HEAD + framing) })
      const answer = await request(await connectHttp2(t, target.port))
      assert.deepEqual([answer.status, answer.body, answer.resetCode], [200, body, 0])
      const names = name === 'a length' ? [':status', 'content-length', 'date'] : [':status', 'date']
      assert.deepEqual(Object.keys(answer.headers).toSorted(), names)
      assert.equal(target.upstream.received(), forwarded('GET /'))
    },
  )
}

test('payload: fields with the names of what every object has are fields over HTTP/2', TIMEOUT, async (t) => {
  const fields = '__proto__: 1\r\nconstructor: 2\r\nconstructor: 3\r\n'
  const target = await startTarget(t, {
    behave: ({ socket }) =>
      void socket.write(
        `HTTP/1.1 103 Early Hints\r\n${fields}\r\nHTTP/1.1 200 OK\r\n${fields}Transfer-Encoding: chunked\r\n\r\n0\r\n${fields}\r\n`,
      ),
  })
  const { status, headers, informational, trailers } = await request(await connectHttp2(t, target.port))
  assert.equal(status, 200)
  for (const section of [informational[0], headers, trailers]) assert.equal(section?.['constructor'], '2, 3')
})

test(
  'payload: as many fields as an upstream may send reach HTTP/2, before and behind a body',
  TIMEOUT,
  async (t) => {
    const fields = `x:${'v'.repeat(40)}\r\n`.repeat(1_400)
    const target = await startTarget(t, {
      behave: ({ socket }) =>
        void socket.write(
          `HTTP/1.1 200 OK\r\n${fields}Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n${fields}\r\n`,
        ),
    })
    // A client that takes them.
    const client = await connectRawHttp2(t, target.port)
    client.send(headersFrame(1, requestFields('/')))
    assert.deepEqual(await client.outcome(1), { status: 200, body: 'ok', errorCode: undefined })
    assert.equal(await client.ask('/'), 200)
  },
)
