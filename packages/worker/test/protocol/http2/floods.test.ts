// Frames that cost something and ask for nothing: each kind has its bound, within which nobody is bothered, and beyond
// which the connection ends with ENHANCE_YOUR_CALM and the name of the kind.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { FLOOD_NAMES } from '../../../src/protocol/http2/frames/flood-guard.ts'
import {
  FLAG,
  FRAME,
  dataFrame,
  frame,
  headerBlock,
  headersFrame,
  uint32,
} from '../../support/http2/frames.ts'
import { answer, goawayOf, Http2Peer, resetOf, responseOf, settings } from '../../support/http2/peer.ts'
import { requestFields } from '../../support/http2/raw-client.ts'
import { ERROR } from './conformance.ts'

const GET = requestFields('/')
const POST = requestFields('/', 'POST')
const NOTHING: Buffer = Buffer.alloc(0)
const SECOND_MS = 1_000
const windowUpdate = (streamId: number, by: number): Buffer =>
  frame(FRAME.windowUpdate, 0, streamId, uint32(by))
const reset = (streamId: number): Buffer => frame(FRAME.rstStream, 0, streamId, uint32(ERROR.cancel))

interface FloodCase {
  readonly kind: (typeof FLOOD_NAMES)[number]
  readonly name: string
  readonly before?: readonly Buffer[]
  /** @param i 0, 1, 2 ... */
  readonly next: (i: number) => readonly Buffer[]
  /** So many in a second are nothing to worry about, and the same again ten seconds later. */
  readonly allowed: number
}

const CASES: readonly FloodCase[] = [
  {
    kind: 'reset',
    name: 'CVE-2023-44487: requests that are reset at once',
    next: (i) => [headersFrame(2 * i + 1, GET), reset(2 * i + 1)],
    allowed: 300,
  },
  {
    kind: 'stream error',
    name: 'CVE-2025-8671: requests that a WINDOW_UPDATE by 0 makes us reset',
    next: (i) => [headersFrame(2 * i + 1, POST, false), windowUpdate(2 * i + 1, 0)],
    allowed: 150,
  },
  {
    kind: 'stream error',
    name: 'CVE-2025-8671: requests that DATA behind their end makes us reset',
    next: (i) => [headersFrame(2 * i + 1, GET), dataFrame(2 * i + 1, 'x')],
    allowed: 150,
  },
  {
    kind: 'stream error',
    name: 'malformed requests',
    next: (i) => [headersFrame(2 * i + 1, [['X', 'y']])],
    allowed: 150,
  },
  { kind: 'settings', name: 'SETTINGS', next: () => [settings()], allowed: 80 },
  {
    kind: 'settings',
    name: 'acknowledgements of SETTINGS',
    next: () => [frame(FRAME.settings, FLAG.ack, 0, NOTHING)],
    allowed: 80,
  },
  { kind: 'ping', name: 'PING', next: () => [frame(FRAME.ping, 0, 0, Buffer.alloc(8))], allowed: 900 },
  {
    kind: 'priority',
    name: 'PRIORITY',
    next: () => [frame(FRAME.priority, 0, 1, Buffer.alloc(5))],
    allowed: 900,
  },
  {
    kind: 'priority',
    name: 'PRIORITY_UPDATE',
    next: () => [frame(0x10, 0, 0, Buffer.concat([uint32(99), Buffer.from('u=1')]))],
    allowed: 900,
  },
  {
    kind: 'window update',
    name: 'WINDOW_UPDATE of the connection',
    next: () => [windowUpdate(0, 1)],
    allowed: 3_500,
  },
  {
    kind: 'window update',
    name: 'WINDOW_UPDATE of a stream',
    before: [headersFrame(1, POST, false)],
    next: () => [windowUpdate(1, 1)],
    allowed: 3_500,
  },
  {
    kind: 'empty data',
    name: 'CVE-2019-9518: DATA without content',
    before: [headersFrame(1, POST, false)],
    next: () => [dataFrame(1, '', false)],
    allowed: 900,
  },
  {
    kind: 'unknown frame',
    name: 'frames of an unknown type',
    next: () => [frame(0xbe, 0, 0, Buffer.alloc(100))],
    allowed: 900,
  },
  {
    kind: 'unknown frame',
    name: 'GOAWAY',
    next: () => [frame(FRAME.goaway, 0, 0, Buffer.alloc(8))],
    allowed: 900,
  },
  {
    kind: 'continuation',
    name: 'header sections in needlessly many CONTINUATION',
    before: [headersFrame(1, POST, false)],
    next: (i) => [
      frame(FRAME.headers, FLAG.endStream, 2 * i + 3, NOTHING),
      ...Array.from({ length: 20 }, () => frame(FRAME.continuation, 0, 2 * i + 3, NOTHING)),
      frame(FRAME.continuation, FLAG.endHeaders, 2 * i + 3, headerBlock(GET)),
      reset(2 * i + 3),
    ],
    allowed: 40,
  },
]

for (const { kind, name, before = [], next, allowed } of CASES) {
  test(`HTTP/2, a flood of ${name}`, async () => {
    const peer = new Http2Peer()
    peer.send(...before)
    let i = 0
    for (const until of [allowed, 2 * allowed]) {
      while (i < until) peer.send(...next(i++))
      assert.equal(peer.fault?.message, undefined)
      await peer.take()
      peer.nowMs += 10 * SECOND_MS
    }
    while (i < 20 * allowed && peer.fault === undefined) peer.send(...next(i++))
    assert.deepEqual([peer.fault?.message, peer.fault?.flood], ['HTTP2_FLOOD', kind])
    assert.equal(goawayOf(await peer.take()), ERROR.calm)
    assert.ok(peer.requests.every((stream) => stream.isClosed))
  })
}

test('HTTP/2: CVE-2024-27316, CONTINUATION without end holds no more than one header section', async () => {
  for (const block of [NOTHING, Buffer.alloc(4_000)]) {
    const peer = new Http2Peer()
    peer.send(frame(FRAME.headers, FLAG.endStream, 1, headerBlock(GET)))
    for (let i = 0; i < 40; i++) peer.send(frame(FRAME.continuation, 0, 1, block))
    assert.equal(peer.fault?.flood, block === NOTHING ? 'continuation' : undefined)
    assert.equal(goawayOf(await peer.take()), ERROR.calm)
    assert.equal(peer.requests.length, 0)
  }
})

test('HTTP/2: an HPACK bomb is not unpacked, and the connection goes on', async () => {
  const peer = new Http2Peer({ onRequest: (stream) => answer(stream) })
  // An entry of 4 KB, and a block that names it 16,000 times: 64 MB.
  const stored = Buffer.concat([
    headerBlock(GET),
    Buffer.of(0x40, 1, 0x78, 0x7f, 0xa1, 0x1e),
    Buffer.alloc(4_000, 'z'),
  ])
  peer.send(frame(FRAME.headers, FLAG.endStream | FLAG.endHeaders, 1, stored))
  const bomb = Buffer.concat([headerBlock(GET), Buffer.alloc(16_000, 0x80 | 62)])
  peer.send(frame(FRAME.headers, FLAG.endStream | FLAG.endHeaders, 3, bomb))
  peer.send(headersFrame(5, GET))
  const frames = await peer.take()
  assert.equal(resetOf(frames, 3), ERROR.calm)
  assert.equal(responseOf(frames, 1), '200 ok')
  assert.equal(responseOf(frames, 5), '200 ok')
})

test('HTTP/2: a table that is filled anew by every request costs no more than its bytes', async () => {
  const peer = new Http2Peer({ onRequest: (stream) => answer(stream) })
  for (let id = 1; id < 400; id += 2) {
    const fields = Array.from({ length: 100 }, (_, i) =>
      Buffer.concat([
        Buffer.of(0x40, 6),
        Buffer.from(`x${String(id * 100 + i).padStart(5, '0')}`),
        Buffer.of(1, 0x79),
      ]),
    )
    peer.send(
      frame(
        FRAME.headers,
        FLAG.endStream | FLAG.endHeaders,
        id,
        Buffer.concat([headerBlock(GET), ...fields]),
      ),
    )
  }
  const frames = await peer.take()
  assert.equal(peer.fault, undefined)
  assert.equal(responseOf(frames, 399), '200 ok')
})

test('HTTP/2: a client that makes us send crumbs is ended; one with a small window is not', async () => {
  const peer = new Http2Peer({ onRequest: (stream) => answer(stream, 'x'.repeat(10_000)) })
  peer.send(settings([4, 1]), headersFrame(1, GET))
  for (let i = 0; i < 900; i++) peer.send(windowUpdate(1, 1))
  assert.equal(goawayOf(await peer.take()), undefined)
  for (let i = 0; i < 900 && peer.fault === undefined; i++) peer.send(windowUpdate(1, 1))
  assert.deepEqual([peer.fault?.message, peer.fault?.flood], ['HTTP2_FLOOD', 'tiny window'])
})

test('HTTP/2: a large download whose windows end in crumbs is no flood', async () => {
  const peer = new Http2Peer({ onRequest: (stream) => answer(stream, 'x'.repeat(12_000_000)) })
  peer.send(settings([4, 4_097]), windowUpdate(0, 2 ** 30), headersFrame(1, GET))
  // All in one instant: 2,900 windows, each cut into a part of 4,096 bytes and one of a single byte.
  for (let i = 0; i < 2_900; i++) peer.send(windowUpdate(1, 1), windowUpdate(1, 4_096))
  assert.equal(goawayOf(await peer.take()), undefined)
  assert.equal(peer.fault, undefined)
})

test('HTTP/2: answers to PING that are not read are bounded', () => {
  const peer = new Http2Peer({ onRequest: (stream) => answer(stream, 'x'.repeat(100_000)) })
  peer.send(settings([4, 2 ** 20]), windowUpdate(0, 2 ** 20))
  peer.stick()
  peer.send(headersFrame(1, GET))
  const ping = frame(FRAME.ping, 0, 0, Buffer.alloc(8))
  for (let i = 0; i < 100_000 && peer.fault === undefined; i++) {
    // Slowly enough for the number of them to be none of our concern.
    peer.nowMs += 10
    peer.send(ping)
  }
  assert.deepEqual([peer.fault?.message, peer.fault?.flood], ['HTTP2_FLOOD', 'unread control'])
})

test('HTTP/2: heads of responses are not piled up for a client that does not read', async () => {
  const peer = new Http2Peer({ onRequest: (stream) => answer(stream, 'x'.repeat(30_000)) })
  peer.send(settings([4, 2 ** 20]), windowUpdate(0, 2 ** 24))
  peer.stick()
  for (let id = 1; id < 160; id += 2) peer.send(headersFrame(id, GET))
  const sent = (await peer.take()).reduce((sum, { payload }) => sum + payload.length, 0)
  assert.ok(sent < 200_000, `${sent} bytes`)
  for (let id = 1; id < 160; id += 2) peer.send(reset(id))
  peer.drain()
  await peer.take()
  assert.equal(peer.fault, undefined)
  assert.equal(peer.session.openStreams, 0)
})

test('HTTP/2: a client whose bodies come in crumbs keeps its memory to the window', () => {
  const peer = new Http2Peer()
  peer.send(headersFrame(1, POST, false))
  const crumb = dataFrame(1, 'x', false)
  for (let i = 0; i < 50_000; i++) peer.send(crumb)
  assert.equal(peer.fault, undefined)
  let received = 0
  peer.request.body.flowTo({
    onBody: (_bytes, from, to) => {
      received += to - from
      return true
    },
    onBodyEnd: () => {},
    onBodyGone: () => {},
  })
  assert.equal(received, 50_000)
})
