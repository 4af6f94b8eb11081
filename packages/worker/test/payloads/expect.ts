// Payload: `Expect`, with which node-http-proxy (1539) skipped the hook that adds headers.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { connectRaw } from '../../../../test/harness/clients/raw-client.ts'
import {
  forwarded,
  passedOn,
  receivedBefore,
  refusal,
  sendAndKeep,
  sendUntilClosed,
  startTarget,
  withoutDate,
} from '../support/target.ts'

const TIMEOUT = { timeout: 20_000 }
const CONTINUE = 'HTTP/1.1 100 Continue\r\n\r\n'

function asking(method: string, expect: string, more = ''): string {
  return `${method} /x HTTP/1.1\r\nHost: a.example\r\nExpect: ${expect}\r\n${more}\r\n`
}

for (const framing of ['Content-Length: 2\r\n', 'Transfer-Encoding: chunked\r\n']) {
  test(
    `payload: Expect: 100-continue on POST, ${framing.trim()}: our headers are there`,
    TIMEOUT,
    async (t) => {
      const target = await startTarget(t)
      const isChunked = framing.startsWith('Transfer')
      const client = await connectRaw(t, target.port)
      client.send(asking('POST', '100-Continue', framing))
      assert.equal((await client.response()).status, 100)
      client.send(isChunked ? '2\r\nhi\r\n0\r\n\r\n' : 'hi')
      await client.response()
      assert.equal(withoutDate(client.received()), CONTINUE + passedOn())
      assert.equal(await receivedBefore(t, target), forwarded('POST /x', { body: 'hi', isChunked }))
    },
  )
}

test('payload: Expect: 100-continue on GET, which has nothing to continue with', TIMEOUT, async (t) => {
  const target = await startTarget(t)
  assert.equal(await sendUntilClosed(t, target, asking('GET', '100-continue')), passedOn('close'))
  assert.equal(await receivedBefore(t, target), forwarded('GET /x'))
})

test('payload: Expect: x on POST is 417, and its body is not read as a request', TIMEOUT, async (t) => {
  const target = await startTarget(t)
  const body = 'GET /smuggled HTTP/1.1\r\nHost: a.example\r\n\r\n'
  const seen = await sendUntilClosed(
    t,
    target,
    asking('POST', 'x', `Content-Length: ${body.length}\r\n`) + body,
  )
  assert.equal(seen, refusal(417, 'Expectation Failed'))
  assert.equal(await receivedBefore(t, target), '')
})

test('payload: Expect: x on GET is 417, and goes nowhere', TIMEOUT, async (t) => {
  const target = await startTarget(t)
  for (const expect of ['x', '100-continue, x', '100-continue\r\nExpect: 100-continue']) {
    const seen = await sendAndKeep(t, target, asking('GET', expect))
    assert.match(seen, /^HTTP\/1\.1 417 Expectation Failed\r\n/u)
  }
  assert.equal(await receivedBefore(t, target), '')
})
