// Payload: an upstream's connection headers, which crashed servers when they came into an HTTP/2 answer.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { connectHttp2, request } from '../support/http2-client.ts'
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
