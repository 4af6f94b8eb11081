// Payload: frames that cost their sender nothing, in numbers. The others are served all the while, and
// whoever floods is cut off or held back; nothing of it goes up.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { waitFor } from '../../../../test/harness/wait.ts'
import { dataFrame, FRAME, frame, headersFrame, uint32 } from '../support/http2/frames.ts'
import { connectRawHttp2, requestFields } from '../support/http2/raw-client.ts'
import { receivedBefore, startTarget } from '../support/target.ts'

const NOTHING = Buffer.alloc(0)
const PROTOCOL_ERROR = 1
const REFUSED_STREAM = 7

const FLOODS: readonly (readonly [name: string, bytes: Buffer])[] = [
  ['SETTINGS', frame(FRAME.settings, 0, 0, NOTHING)],
  ['SETTINGS with 33 entries', frame(FRAME.settings, 0, 0, Buffer.alloc(33 * 6))],
  ['PING', frame(FRAME.ping, 0, 0, Buffer.alloc(8))],
  ['PRIORITY', frame(FRAME.priority, 0, 1, Buffer.concat([uint32(3), Buffer.of(1)]))],
  ['WINDOW_UPDATE', frame(FRAME.windowUpdate, 0, 0, uint32(1))],
  ['frames of an unknown type', frame(0xbe, 0, 0, Buffer.alloc(8))],
  ['RST_STREAM of closed streams', frame(FRAME.rstStream, 0, 1, uint32(8))],
]

for (const [name, bytes] of FLOODS) {
  test(`payload: a flood of ${name} harms nobody else`, { timeout: 30_000 }, async (t) => {
    const target = await startTarget(t)
    const client = await connectRawHttp2(t, target.port)
    client.send(headersFrame(1, requestFields('/x')))
    await client.outcome(1)
    client.socket.pause()
    for (let i = 0; i < 20; i++) client.send(...Array.from({ length: 500 }, () => bytes))
    await receivedBefore(t, target)
    client.socket.destroy()
    await waitFor('no connection left', () => target.openConnections() === 0)
  })
}

test('payload: empty DATA frames without end are no body', { timeout: 30_000 }, async (t) => {
  const target = await startTarget(t)
  const client = await connectRawHttp2(t, target.port)
  client.send(headersFrame(1, requestFields('/x', 'POST'), false))
  for (let i = 0; i < 20; i++) client.send(...Array.from({ length: 500 }, () => dataFrame(1, '', false)))
  assert.equal(await receivedBefore(t, target), '')
  client.socket.destroy()
  await waitFor('no connection left', () => target.openConnections() === 0)
})

test('payload: streams beyond http2_streams are refused', { timeout: 30_000 }, async (t) => {
  const target = await startTarget(t, { behave: () => {}, limits: { http2Streams: 5 } })
  const client = await connectRawHttp2(t, target.port)
  // The limit is in force for the client once it has acknowledged it.
  await client.until((frames) => frames.some(({ type, flags }) => type === FRAME.settings && flags === 1))
  for (let streamId = 1; streamId < 20; streamId += 2)
    client.send(headersFrame(streamId, requestFields('/x')))
  // 5.1.2: either will do; which one depends on whether the limit has been acknowledged.
  const { status, errorCode } = await client.outcome(11)
  assert.deepEqual([status, errorCode === REFUSED_STREAM || errorCode === PROTOCOL_ERROR], [0, true])
  client.socket.destroy()
  await waitFor('no connection left', () => target.openConnections() === 0)
  assert.ok(target.upstream.connections.length <= 5)
})
