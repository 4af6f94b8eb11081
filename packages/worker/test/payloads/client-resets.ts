// Payload: clients that reset their connection at the worst moment, and upgrades that are refused.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test } from 'node:test'
import { waitFor } from '../../../../test/harness/wait.ts'
import { dataFrame, frame, FRAME, headersFrame, uint32 } from '../support/http2/frames.ts'
import { connectRaw } from '../../../../test/harness/clients/raw-client.ts'
import { connectRawHttp2, requestFields } from '../support/http2/raw-client.ts'
import { readRequest } from '../../../../test/harness/raw-upstream.ts'
import { receivedBefore, startTarget, withoutDate } from '../support/target.ts'

const TIMEOUT = { timeout: 20_000 }
const HANDSHAKE =
  'GET /ws HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n' +
  'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n'
const GIGABYTE = 1_000_000_000
const CHUNK = 'x'.repeat(1_000_000)

test('payload: the client is reset before 101: the upstream connection goes, too', TIMEOUT, async (t) => {
  const target = await startTarget(t, { behave: () => {} })
  for (let round = 0; round < 5; round++) {
    const client = await connectRaw(t, target.port)
    client.send(HANDSHAKE)
    await waitFor('the handshake to arrive', () => target.upstream.connections.length === round + 1)
    client.reset()
    await waitFor('the upstream to be left', () => target.upstream.newest().socket.destroyed)
    assert.equal(client.received(), '')
    const { line } = readRequest(target.upstream.newest().received) ?? {}
    assert.equal(line, 'GET /ws HTTP/1.1')
  }
  await waitFor('no connection left', () => target.openConnections() === 0)
})

test('payload: the client is reset during a download of 1 GB: the upstream stops', TIMEOUT, async (t) => {
  const target = await startTarget(t, {
    behave: ({ socket, received }) => {
      if (received.startsWith('GET /alive')) {
        socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok')
        return
      }
      const more = (): void => {
        while (!socket.destroyed && socket.write(CHUNK));
      }
      socket.on('drain', more)
      socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${GIGABYTE}\r\n\r\n`)
      more()
    },
  })
  const client = await connectRaw(t, target.port)
  client.send('GET /x HTTP/1.1\r\nHost: a.example\r\n\r\n')
  await once(client.socket, 'data')
  const download = target.upstream.newest()
  client.reset()
  await waitFor('the upstream to be left', () => download.socket.destroyed)
  assert.ok(download.socket.bytesWritten < GIGABYTE / 4)
  await receivedBefore(t, target)
})

const NO_ERROR = 0
const CANCEL = 8

function reset(streamId: number, code: number): Buffer {
  return frame(FRAME.rstStream, 0, streamId, uint32(code))
}

for (const [name, code] of [
  ['NO_ERROR', NO_ERROR],
  ['CANCEL', CANCEL],
] as const) {
  test(
    `payload: an upload over HTTP/2 that its client resets with ${name} is cut, not completed`,
    TIMEOUT,
    async (t) => {
      const target = await startTarget(t, { behave: () => {} })
      const client = await connectRawHttp2(t, target.port)
      client.send(headersFrame(1, requestFields('/', 'POST'), false), dataFrame(1, 'part', false))
      await waitFor('it to arrive', () => target.upstream.received().includes('4\r\npart'))
      client.send(dataFrame(1, 'more', false), reset(1, code))
      await waitFor('the upstream to be left', () => target.upstream.newest().socket.destroyed)
      // Before its body is read.
      client.send(
        headersFrame(3, requestFields('/', 'POST'), false),
        dataFrame(3, 'x', false),
        reset(3, code),
      )
      client.socket.end()
      await waitFor('no connection left', () => target.openConnections() === 0)
      assert.doesNotMatch(target.upstream.received(), /0\r\n\r\n/u)
    },
  )
}

test('payload: a chunked 403 to an upgrade is framed anew, and the connection ends', TIMEOUT, async (t) => {
  const refused = 'HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nno!\r\n0\r\n\r\n'
  const target = await startTarget(t, { behave: ({ socket }) => void socket.write(refused) })
  const client = await connectRaw(t, target.port)
  client.send(`${HANDSHAKE}GET /smuggled HTTP/1.1\r\nHost: a.example\r\n\r\n`)
  await client.closed()
  assert.equal(
    withoutDate(client.received()),
    'HTTP/1.1 403 Forbidden\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n3\r\nno!\r\n0\r\n\r\n',
  )
  assert.doesNotMatch(target.upstream.received(), /smuggled/u)
  assert.equal(target.upstream.connections.length, 1)
})
