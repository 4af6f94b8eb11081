// What goes out on streams: flow control in both directions, turns, ends and the end of the connection; and that nobody
// reads memory that has been given back.
import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { buffers } from '../../../src/io/buffer-pool.ts'
import type { BodySink } from '../../../src/protocol/body.ts'
import { CONNECTION_WINDOW_BYTES, STREAM_WINDOW_BYTES } from '../../../src/protocol/http2/streams/settings.ts'
import {
  FLAG,
  FRAME,
  dataFrame,
  frame,
  headersFrame,
  uint32,
  type Frame,
} from '../../support/http2/frames.ts'
import { answer, goawayOf, Http2Peer, line, resetOf, responseOf, settings } from '../../support/http2/peer.ts'
import { requestFields } from '../../support/http2/raw-client.ts'
import { ERROR } from './conformance.ts'

const GET = requestFields('/')
const POST = requestFields('/', 'POST')
const INITIAL_WINDOW = 65_535
const SETTINGS_INITIAL_WINDOW_SIZE = 4
const POISON = 0xdd
const windowUpdate = (streamId: number, by: number): Buffer =>
  frame(FRAME.windowUpdate, 0, streamId, uint32(by))

function poisonPool(t: TestContext): void {
  const give = buffers.give.bind(buffers)
  t.mock.method(buffers, 'give', (buffer: Buffer) => {
    buffer.fill(POISON)
    give(buffer)
  })
}

/** Bytes of content on the stream, or on all of them. */
function contentOf(frames: readonly Frame[], streamId?: number): Buffer {
  return Buffer.concat(
    frames
      .filter(({ type, streamId: id }) => type === FRAME.data && (streamId ?? id) === id)
      .map(({ payload }) => payload),
  )
}

/** Of which streams the window has been widened. */
function updates(frames: readonly Frame[]): number[] {
  return frames.filter(({ type }) => type === FRAME.windowUpdate).map(({ streamId }) => streamId)
}

function get(id: number, priority: string): Buffer {
  return headersFrame(id, [...GET, ['priority', priority]])
}

function pieceOf(id: number): Buffer {
  return dataFrame(id, 'x'.repeat(16_384), false)
}

class Sink implements BodySink {
  bytes = 0
  isEnded = false
  isGone = false
  takes: boolean

  constructor(takes: boolean) {
    this.takes = takes
  }

  onBody(_bytes: Buffer, from: number, to: number): boolean {
    this.bytes += to - from
    return this.takes
  }

  onBodyEnd(): void {
    this.isEnded = true
  }

  onBodyGone(): void {
    this.isGone = true
  }
}

test('6.9.2: content waits for the window that SETTINGS and WINDOW_UPDATE give, also when that is negative', async (t) => {
  poisonPool(t)
  const body = Buffer.from(Array.from({ length: 1_000 }, (_, i) => i % 251))
  const peer = new Http2Peer({
    onRequest: (stream) => {
      stream.sendHead(200, [])
      stream.end(body)
    },
  })
  peer.send(
    settings([SETTINGS_INITIAL_WINDOW_SIZE, 100], [SETTINGS_INITIAL_WINDOW_SIZE, 1]),
    headersFrame(1, GET),
  )
  assert.equal(contentOf(await peer.take()).length, 1)
  peer.send(settings([SETTINGS_INITIAL_WINDOW_SIZE, 300]))
  assert.equal(contentOf(await peer.take()).length, 299)
  // 300 less: 200 below nothing.
  peer.send(settings([SETTINGS_INITIAL_WINDOW_SIZE, 100]))
  peer.send(windowUpdate(1, 200))
  assert.equal(contentOf(await peer.take()).length, 0)
  peer.send(windowUpdate(1, 10))
  assert.equal(contentOf(await peer.take()).length, 10)
  peer.send(windowUpdate(1, 10_000))
  await peer.take()
  assert.deepEqual(contentOf(peer.frames), body)
  assert.ok(peer.request.isClosed)
})

test('6.9.1: the window of the connection holds for all streams, and they share it in turns', async (t) => {
  poisonPool(t)
  const body = Buffer.alloc(200_000, 'x')
  const peer = new Http2Peer({
    onRequest: (stream) => {
      stream.sendHead(200, [])
      stream.end(body)
    },
  })
  peer.send(settings([SETTINGS_INITIAL_WINDOW_SIZE, 2 ** 20]))
  peer.send(...[1, 3, 5].map((id) => headersFrame(id, GET)))
  assert.equal(contentOf(await peer.take()).length, INITIAL_WINDOW)
  for (let given = 0; given < 535_000; given += 5_000) {
    peer.send(windowUpdate(0, 5_000))
    await peer.take()
    const ahead = contentOf(peer.frames, 3).length - contentOf(peer.frames, 5).length
    assert.ok(Math.abs(ahead) <= 20_000, `${ahead} bytes ahead`)
  }
  peer.send(windowUpdate(0, 2 ** 20))
  await peer.take()
  for (const id of [1, 3, 5]) assert.equal(contentOf(peer.frames, id).length, body.length)
  assert.equal(peer.session.openStreams, 0)
})

test('RFC 9218: the urgent comes first, and what is not incremental comes whole', async () => {
  const peer = new Http2Peer({
    onRequest: (stream) => {
      stream.sendHead(200, [])
      stream.end(Buffer.alloc(40_000, 'x'))
    },
  })
  peer.send(settings([SETTINGS_INITIAL_WINDOW_SIZE, 2 ** 20]), get(1, 'u=3, i'))
  // The window of the connection is used up by then.
  peer.send(get(3, 'u=3, i'), get(5, 'u=5'), get(7, 'u=1'), get(9, 'u=1'), get(11, 'u=7'))
  await peer.take()
  // 11 is to be sent before 5 after all, and 13 comes later.
  peer.send(frame(0x10, 0, 0, Buffer.concat([uint32(11), Buffer.from('u=4')])))
  peer.send(frame(0x10, 0, 0, Buffer.concat([uint32(13), Buffer.from('u=0')])))
  peer.send(get(13, 'u=6'), windowUpdate(0, 2 ** 20))
  const order = (await peer.take()).filter(({ type }) => type === FRAME.data).map(({ streamId }) => streamId)
  assert.deepEqual(
    order.filter((id, i) => order.indexOf(id) === i && id !== 1),
    [13, 7, 9, 3, 11, 5],
  )
  assert.deepEqual(order.slice(order.indexOf(7), order.indexOf(3)), [7, 7, 7, 9, 9, 9])
  assert.equal(peer.session.openStreams, 0)
})

test('a client that does not read holds back what is written, and gets it whole afterwards', async (t) => {
  poisonPool(t)
  const peer = new Http2Peer()
  peer.send(settings([SETTINGS_INITIAL_WINDOW_SIZE, 2 ** 24]), windowUpdate(0, 2 ** 24), headersFrame(1, GET))
  const { request } = peer
  let drains = 0
  request.owner = { onDrain: () => (drains += 1), onStreamClosed: () => {} }
  request.sendHead(200, [])
  peer.stick()
  const chunk = Buffer.alloc(50_000)
  const sent: Buffer[] = []
  let mayContinue = true
  for (let i = 0; i < 4 || mayContinue; i++) {
    chunk.fill(i)
    sent.push(Buffer.from(chunk))
    mayContinue = request.write(chunk)
    // It is ours again.
    chunk.fill(POISON)
    await peer.take()
  }
  assert.equal(drains, 0)
  peer.drain()
  await peer.take()
  assert.equal(drains, 1)
  request.end(Buffer.from('end'), [line('x-trailer', 'v')])
  await peer.take()
  assert.deepEqual(contentOf(peer.frames), Buffer.concat([...sent, Buffer.from('end')]))
  assert.ok(request.isClosed)
})

test('the client may send on only for what has been taken', async () => {
  const peer = new Http2Peer()
  peer.send(headersFrame(1, POST, false))
  await peer.take()
  const piece = dataFrame(1, 'x'.repeat(16_384), false)
  for (let i = 0; i < 16; i++) peer.send(piece)
  // Nobody has looked at the body yet.
  assert.deepEqual(updates(await peer.take()), [])
  const sink = new Sink(false)
  peer.request.body.flowTo(sink)
  assert.ok(sink.bytes > 0 && sink.bytes < STREAM_WINDOW_BYTES)
  assert.deepEqual(updates(await peer.take()), [])
  sink.takes = true
  peer.request.body.resume()
  assert.equal(sink.bytes, STREAM_WINDOW_BYTES)
  assert.ok(updates(await peer.take()).includes(1))
  peer.send(piece, dataFrame(1, 'y'))
  assert.ok(sink.isEnded)
  assert.equal(sink.bytes, STREAM_WINDOW_BYTES + 16_384 + 1)
  // More than the window is an error.
  peer.send(headersFrame(3, POST, false))
  for (let i = 0; i < 17; i++) peer.send(dataFrame(3, 'x'.repeat(16_384), false))
  assert.equal(resetOf(await peer.take(), 3), ERROR.flowControl)
})

test('the window of the connection comes back for streams that are gone, and is a bound for those that are not', async () => {
  const peer = new Http2Peer()
  // Ten times the window of the connection, never taken.
  for (let id = 1; id < 80; id += 2) {
    peer.send(headersFrame(id, POST, false))
    for (let i = 0; i < 16; i++) peer.send(pieceOf(id))
    peer.send(frame(FRAME.rstStream, 0, id, uint32(ERROR.cancel)))
    await peer.take()
  }
  assert.equal(peer.fault, undefined)
  for (let id = 101; id < 110; id += 2) {
    peer.send(headersFrame(id, POST, false))
    for (let i = 0; i < 16; i++) peer.send(pieceOf(id))
  }
  assert.ok(5 * STREAM_WINDOW_BYTES > CONNECTION_WINDOW_BYTES)
  assert.equal(goawayOf(await peer.take()), ERROR.flowControl)
})

test('padding counts for the windows and is given back at once', async () => {
  const peer = new Http2Peer()
  peer.send(headersFrame(1, POST, false))
  const padded = frame(
    FRAME.data,
    0x8,
    1,
    Buffer.concat([Buffer.of(255), Buffer.from('x'), Buffer.alloc(255)]),
  )
  for (let i = 0; i < 5_000; i++) peer.send(padded)
  const frames = await peer.take()
  assert.equal(peer.fault, undefined)
  assert.ok(frames.some(({ type, streamId }) => type === FRAME.windowUpdate && streamId === 0))
})

test('8.1: a response before the end of the request is sent whole, and then the client is asked to stop', async () => {
  const peer = new Http2Peer({ onRequest: (stream) => answer(stream) })
  peer.send(headersFrame(1, POST, false))
  const frames = await peer.take()
  assert.equal(responseOf(frames, 1), '200 ok')
  assert.equal(resetOf(frames, 1), ERROR.none)
  // What was on its way by then harms nothing.
  peer.send(dataFrame(1, 'late', false), headersFrame(1, [['x', 'y']]), headersFrame(3, GET))
  assert.equal(peer.fault, undefined)
})

test('a response without content ends with its head, in one frame', async () => {
  const peer = new Http2Peer({
    onRequest: (stream) => {
      stream.sendHead(204, [])
      stream.end(undefined)
    },
  })
  peer.send(headersFrame(1, GET))
  const mine = (await peer.take()).filter(({ streamId }) => streamId === 1)
  assert.deepEqual(
    mine.map(({ type, flags }) => [type, flags]),
    [[FRAME.headers, FLAG.endHeaders | FLAG.endStream]],
  )
})

test('interim responses, a body and trailers, in their order', async () => {
  const peer = new Http2Peer({
    onRequest: (stream) => {
      stream.sendHead(103, [line('link', '</a>')])
      stream.sendHead(200, [])
      stream.write(Buffer.from('body'))
      stream.end(undefined, [line('x', 'y')])
    },
  })
  peer.send(headersFrame(1, GET))
  const mine = (await peer.take()).filter(({ streamId }) => streamId === 1)
  assert.deepEqual(
    mine.map(({ type, flags }) => [type, flags]),
    [
      [FRAME.headers, FLAG.endHeaders],
      [FRAME.headers, FLAG.endHeaders],
      [FRAME.data, 0],
      [FRAME.headers, FLAG.endHeaders | FLAG.endStream],
    ],
  )
})

test('a head larger than a frame goes out as HEADERS and CONTINUATION', async () => {
  const lines = Array.from({ length: 60 }, (_, i) => line(`x-${i}`, 'v'.repeat(1_000)))
  const peer = new Http2Peer({ onRequest: (stream) => stream.sendHead(200, lines) })
  peer.send(headersFrame(1, GET))
  const mine = (await peer.take()).filter(({ streamId }) => streamId === 1)
  assert.deepEqual(
    mine.map(({ type, flags }) => [type, flags]),
    [
      [FRAME.headers, 0],
      [FRAME.continuation, 0],
      [FRAME.continuation, 0],
      [FRAME.continuation, FLAG.endHeaders],
    ],
  )
})

test('a tunnel: each direction has its own end', async () => {
  const peer = new Http2Peer()
  const fields = [[':method', 'CONNECT'], [':protocol', 'websocket'], ...GET.slice(1)] as const
  peer.send(headersFrame(1, fields, false), headersFrame(3, fields, false))
  const [first, second] = peer.requests
  for (const stream of [first, second]) {
    stream?.sendHead(200, [])
    stream?.endHalf()
  }
  assert.equal(first?.isClosed, false)
  peer.send(dataFrame(1, 'still', false), dataFrame(1, 'here'))
  assert.ok(first?.isClosed)
  second?.end(undefined)
  assert.equal(resetOf(await peer.take(), 3), ERROR.none)
})

test('6.8: the end comes in two steps, and no request is lost between them', async () => {
  const peer = new Http2Peer()
  peer.send(headersFrame(1, GET))
  peer.session.announceEnd()
  peer.send(headersFrame(3, GET))
  peer.session.finish()
  const goaways = (await peer.take()).filter(({ type }) => type === FRAME.goaway)
  assert.deepEqual(
    goaways.map(({ payload }) => payload.readUInt32BE(0)),
    [2 ** 31 - 1, 3],
  )
  // Too late; it can be sent again elsewhere, and its header block has been read.
  peer.send(headersFrame(5, GET))
  assert.equal(peer.requests.length, 2)
  assert.equal(peer.isFinished, false)
  for (const stream of peer.requests) answer(stream)
  const frames = await peer.take()
  assert.deepEqual(
    [1, 3].map((id) => responseOf(frames, id)),
    ['200 ok', '200 ok'],
  )
  assert.ok(peer.isFinished)
})

test('deadlines: no SETTINGS, a header section without end, nothing open', async () => {
  const headMs = 15_000
  const idleMs = 60_000
  const limits = { requestHeaderTimeoutMs: headMs, keepAliveTimeoutMs: idleMs }
  const look = (peer: Http2Peer, nowMs: number): boolean => {
    peer.nowMs = nowMs
    return peer.session.look(nowMs, limits)
  }
  const silent = new Http2Peer({ greeting: Buffer.from('PRI * HT') })
  assert.equal(look(silent, headMs - 1), false)
  assert.equal(look(silent, headMs), true)
  assert.equal(silent.fault?.message, 'HTTP2_HEADER_TIMEOUT')

  const within = new Http2Peer()
  within.nowMs = 1_000
  within.send(headersFrame(1, GET).subarray(0, 12))
  assert.equal(look(within, headMs + 999), false)
  assert.equal(look(within, headMs + 1_000), true)

  // A request that is answered by then is still answered.
  const busy = new Http2Peer()
  busy.send(headersFrame(1, GET), headersFrame(3, GET).subarray(0, 12))
  assert.equal(look(busy, headMs), false)
  assert.equal(busy.fault, undefined)
  answer(busy.request)
  assert.equal(responseOf(await busy.take(), 1), '200 ok')
  assert.ok(busy.isFinished)

  const idle = new Http2Peer()
  idle.send(headersFrame(1, GET))
  assert.equal(look(idle, 10 * idleMs), false)
  answer(idle.request)
  assert.equal(look(idle, 11 * idleMs - 1), false)
  assert.equal(look(idle, 11 * idleMs), true)
  assert.ok(idle.isFinished)
  assert.equal(goawayOf(await idle.take()), ERROR.none)
})

test('the connection goes: every stream hears of it, and nothing is written any more', async () => {
  const peer = new Http2Peer()
  peer.send(headersFrame(1, POST, false), dataFrame(1, 'x', false))
  const sink = new Sink(true)
  peer.request.body.flowTo(sink)
  let closed = 0
  peer.request.owner = { onDrain: () => {}, onStreamClosed: () => (closed += 1) }
  await peer.take()
  peer.session.onTransportClosed()
  assert.ok(sink.isGone && closed === 1)
  assert.equal(peer.request.write(Buffer.from('late')), true)
  peer.request.end(undefined)
  peer.request.reset(ERROR.cancel)
  assert.deepEqual(await peer.take(), [])
})
