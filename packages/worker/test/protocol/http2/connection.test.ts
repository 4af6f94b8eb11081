// RFC 9113 3 to 6: the preface, frames, states of streams, and each type of frame on the wrong stream, of the wrong size or
// with the wrong content. A case for each that independent suites of conformance have, in their order.
import {
  FLAG,
  FRAME,
  dataFrame,
  frame,
  headerBlock,
  headersFrame,
  preface,
  uint32,
} from '../../support/http2/frames.ts'
import { settings } from '../../support/http2/peer.ts'
import { requestFields } from '../../support/http2/raw-client.ts'
import { ERROR, testCases, type Case } from './conformance.ts'

const NOTHING: Buffer = Buffer.alloc(0)
const GET = requestFields('/')
const POST = requestFields('/', 'POST')
const BLOCK: Buffer = headerBlock(GET)
const PADDED = 0x8
const PRIORITY = 0x20
const MAX_FRAME = 16_384
const UNKNOWN = 0xbe

const get = (streamId: number): Buffer => headersFrame(streamId, GET)
const post = (streamId: number): Buffer => headersFrame(streamId, POST, false)
const reset = (streamId: number, code: number = ERROR.cancel): Buffer =>
  frame(FRAME.rstStream, 0, streamId, uint32(code))
const windowUpdate = (streamId: number, by: number): Buffer =>
  frame(FRAME.windowUpdate, 0, streamId, uint32(by))
const priority = (streamId: number, on: number, weight = 15): Buffer =>
  frame(FRAME.priority, 0, streamId, Buffer.concat([uint32(on), Buffer.of(weight)]))
const continuation = (streamId: number, flags: number = FLAG.endHeaders, block = NOTHING): Buffer =>
  frame(FRAME.continuation, flags, streamId, block)
const headers = (streamId: number, flags: number, block = BLOCK): Buffer =>
  frame(FRAME.headers, flags, streamId, block)
const padded = (block: Buffer, padding: number): Buffer =>
  Buffer.concat([Buffer.of(padding), block, Buffer.alloc(padding)])
const connection = (code: number) => ({ connection: code })
const stream = (code: number, id = 1) => ({ stream: id, code })
const answered = (...ids: number[]) => ({ answered: ids })
const END = FLAG.endStream | FLAG.endHeaders
const WEIGHT = Buffer.concat([uint32(0), Buffer.of(15)])

const SOUND: readonly Case[] = [
  { name: 'the preface alone', send: [], expected: answered() },
  {
    name: 'PRIORITY on an idle stream',
    send: [priority(1, 0), get(1)],
    expected: answered(1),
    answers: true,
  },
  {
    name: 'WINDOW_UPDATE on a half-closed stream',
    send: [get(1), windowUpdate(1, 100)],
    expected: answered(),
  },
  { name: 'PRIORITY on a half-closed stream', send: [get(1), priority(1, 0)], expected: answered() },
  { name: 'RST_STREAM on a half-closed stream', send: [get(1), reset(1)], expected: answered() },
  {
    name: 'PRIORITY on a closed stream',
    send: [get(1), priority(1, 0)],
    expected: answered(1),
    answers: true,
  },
  { name: 'a DATA frame', send: [post(1), dataFrame(1, 'test')], expected: answered() },
  {
    name: 'several DATA frames',
    send: [post(1), dataFrame(1, 'te', false), dataFrame(1, 'st')],
    expected: answered(),
  },
  {
    name: 'DATA with padding',
    send: [post(1), frame(FRAME.data, PADDED | FLAG.endStream, 1, padded(Buffer.from('test'), 6))],
    expected: answered(),
  },
  { name: 'HEADERS', send: [get(1)], expected: answered(1), answers: true },
  {
    name: 'HEADERS with padding',
    send: [headers(1, END | PADDED, padded(BLOCK, 6))],
    expected: answered(1),
    answers: true,
  },
  {
    name: 'HEADERS with priority',
    send: [headers(1, END | PRIORITY, Buffer.concat([WEIGHT, BLOCK]))],
    expected: answered(1),
    answers: true,
  },
  {
    name: 'HEADERS with padding and priority',
    send: [headers(1, END | PADDED | PRIORITY, padded(Buffer.concat([WEIGHT, BLOCK]), 6))],
    expected: answered(1),
    answers: true,
  },
  {
    name: 'PRIORITY with weight 1, with 256, with a parent, exclusive, and of a stream that comes later',
    send: [
      priority(1, 0, 0),
      priority(1, 0, 255),
      priority(3, 1),
      priority(5, 0x8000_0001),
      priority(7, 5),
      get(1),
    ],
    expected: answered(1),
    answers: true,
  },
  { name: 'RST_STREAM', send: [post(1), reset(1)], expected: answered() },
  { name: 'SETTINGS', send: [settings([3, 100])], expected: answered() },
  {
    name: 'GOAWAY, after which open streams go on',
    send: [get(1), frame(FRAME.goaway, 0, 0, Buffer.alloc(8))],
    expected: answered(1),
    answers: true,
  },
  {
    name: 'WINDOW_UPDATE of the connection',
    send: [windowUpdate(0, 1), get(1)],
    expected: answered(1),
    answers: true,
  },
  { name: 'WINDOW_UPDATE of a stream', send: [post(1), windowUpdate(1, 1)], expected: answered() },
  {
    name: 'one CONTINUATION, and several',
    send: [
      headers(1, FLAG.endStream, BLOCK.subarray(0, 5)),
      continuation(1, FLAG.endHeaders, BLOCK.subarray(5)),
      headers(3, FLAG.endStream, NOTHING),
      continuation(3, 0, BLOCK.subarray(0, 5)),
      continuation(3, 0, BLOCK.subarray(5, 6)),
      continuation(3, FLAG.endHeaders, BLOCK.subarray(6)),
    ],
    expected: answered(1, 3),
    answers: true,
  },
  {
    name: '4.1: a frame of an unknown type, undefined flags, the reserved bit',
    send: [
      frame(UNKNOWN, 0, 0, Buffer.alloc(8)),
      frame(FRAME.ping, 0xfe, 0, Buffer.alloc(8)),
      frame(FRAME.ping, 0, 0x8000_0000, Buffer.alloc(8)),
    ],
    expected: answered(),
  },
  {
    name: '4.2: DATA of 2^14 bytes',
    send: [post(1), dataFrame(1, 'x'.repeat(MAX_FRAME))],
    expected: answered(),
  },
  {
    name: '5.5: a frame of an unknown type on a stream',
    send: [frame(UNKNOWN, 0, 1, Buffer.alloc(8))],
    expected: answered(),
  },
  {
    name: '6.7: PING with ACK',
    send: [frame(FRAME.ping, FLAG.ack, 0, Buffer.alloc(8))],
    expected: answered(),
  },
  {
    name: '7: GOAWAY and RST_STREAM with unknown codes',
    send: [
      post(1),
      reset(1, 0xff),
      frame(FRAME.goaway, 0, 0, Buffer.concat([uint32(0), uint32(0xff), Buffer.from('why')])),
    ],
    expected: answered(),
  },
  {
    name: '6.5.2: a setting of an unknown identifier',
    send: [settings([0xff, 1]), get(1)],
    expected: answered(1),
    answers: true,
  },
  {
    name: '6.9.1: WINDOW_UPDATE of a stream that has ended',
    send: [get(1), windowUpdate(1, 1)],
    expected: answered(1),
    answers: true,
  },
  {
    name: '5.1: RST_STREAM of a stream that has ended',
    send: [get(1), reset(1)],
    expected: answered(1),
    answers: true,
  },
]
testCases('HTTP/2, nothing wrong', SOUND)

const SETTINGS_WITH_ID = (id: number, value: number): Buffer => settings([id, value])

const CONNECTION: readonly Case[] = [
  {
    name: '3.4: an invalid preface',
    send: [],
    options: { greeting: Buffer.from('INVALID CONNECTION PREFACE\r\n\r\n') },
    expected: connection(ERROR.protocol),
  },
  {
    name: '3.4: a request line of HTTP/1',
    send: [],
    options: { greeting: Buffer.from('GET / HTTP/1.1\r\nHost: a.example\r\n\r\n') },
    expected: connection(ERROR.protocol),
  },
  {
    name: '3.4: a preface without SETTINGS',
    send: [get(1)],
    options: { greeting: preface().subarray(0, 24) },
    expected: connection(ERROR.protocol),
  },
  {
    name: '4.2: DATA larger than SETTINGS_MAX_FRAME_SIZE',
    send: [post(1), dataFrame(1, 'x'.repeat(MAX_FRAME + 1))],
    expected: connection(ERROR.frameSize),
  },
  {
    name: '4.2: HEADERS larger than SETTINGS_MAX_FRAME_SIZE',
    send: [headers(1, END, headerBlock([...GET, ['x', 'y'.repeat(MAX_FRAME)]]))],
    expected: connection(ERROR.frameSize),
  },
  {
    name: '4.3: an invalid header block',
    send: [headers(1, END, Buffer.of(0x40, 0x01))],
    expected: connection(ERROR.compression),
  },
  {
    name: '4.3: PRIORITY within a header section',
    send: [headers(1, FLAG.endStream), priority(1, 0), continuation(1)],
    expected: connection(ERROR.protocol),
  },
  {
    name: '4.3: HEADERS of another stream within a header section',
    send: [headers(1, FLAG.endStream), get(3)],
    expected: connection(ERROR.protocol),
  },
  { name: '5.1: DATA on an idle stream', send: [dataFrame(1, 'test')], expected: connection(ERROR.protocol) },
  { name: '5.1: RST_STREAM on an idle stream', send: [reset(1)], expected: connection(ERROR.protocol) },
  {
    name: '5.1: WINDOW_UPDATE on an idle stream',
    send: [windowUpdate(1, 100)],
    expected: connection(ERROR.protocol),
  },
  {
    name: '5.1: CONTINUATION on an idle stream',
    send: [continuation(1, FLAG.endHeaders, BLOCK)],
    expected: connection(ERROR.protocol),
  },
  {
    name: '5.1: CONTINUATION on a half-closed stream',
    send: [get(1), continuation(1, FLAG.endHeaders, BLOCK)],
    expected: connection(ERROR.protocol),
  },
  {
    name: '5.1: CONTINUATION on a stream that the client has reset',
    send: [post(1), reset(1), continuation(1, FLAG.endHeaders, BLOCK)],
    expected: connection(ERROR.protocol),
  },
  {
    name: '5.1: DATA on a stream that has ended',
    send: [get(1), dataFrame(1, 'test')],
    answers: true,
    expected: connection(ERROR.streamClosed),
  },
  {
    name: '5.1: HEADERS on a stream that has ended',
    send: [get(1), get(1)],
    answers: true,
    expected: connection(ERROR.streamClosed),
  },
  {
    name: '5.1: CONTINUATION on a stream that has ended',
    send: [get(1), continuation(1, FLAG.endHeaders, BLOCK)],
    answers: true,
    expected: connection(ERROR.protocol),
  },
  { name: '5.1.1: an even stream', send: [get(2)], expected: connection(ERROR.protocol) },
  {
    name: '5.1.1: a stream below one that has been opened',
    send: [get(5), get(3)],
    expected: connection(ERROR.protocol),
  },
  {
    name: '5.3.1: an idle stream that depends on itself',
    send: [priority(1, 1)],
    expected: connection(ERROR.protocol),
  },
  {
    name: '5.4.1: an invalid PING',
    send: [frame(FRAME.ping, 0, 3, Buffer.alloc(8))],
    expected: connection(ERROR.protocol),
  },
  {
    name: '5.5: a frame of an unknown type within a header section',
    send: [headers(1, FLAG.endStream), frame(UNKNOWN, 0, 0, Buffer.alloc(8))],
    expected: connection(ERROR.protocol),
  },
  { name: '6.1: DATA of no stream', send: [dataFrame(0, 'test')], expected: connection(ERROR.protocol) },
  {
    name: '6.1: padding as long as the payload',
    send: [
      post(1),
      frame(FRAME.data, PADDED | FLAG.endStream, 1, Buffer.concat([Buffer.of(6), Buffer.alloc(5)])),
    ],
    expected: connection(ERROR.protocol),
  },
  {
    name: '6.1: no room for the padding length',
    send: [post(1), frame(FRAME.data, PADDED, 1, NOTHING)],
    expected: connection(ERROR.frameSize),
  },
  { name: '6.2: HEADERS of no stream', send: [get(0)], expected: connection(ERROR.protocol) },
  {
    name: '6.2: padding longer than the payload',
    send: [headers(1, END | PADDED, Buffer.concat([Buffer.of(BLOCK.length + 1), BLOCK]))],
    expected: connection(ERROR.protocol),
  },
  {
    name: '6.2: no room for the padding length',
    send: [headers(1, END | PADDED, NOTHING)],
    expected: connection(ERROR.protocol),
  },
  {
    name: '6.2: no room for the priority',
    send: [headers(1, END | PRIORITY, Buffer.alloc(4))],
    expected: connection(ERROR.protocol),
  },
  { name: '6.3: PRIORITY of no stream', send: [priority(0, 1)], expected: connection(ERROR.protocol) },
  {
    name: '6.3: PRIORITY of the wrong size on an idle stream',
    send: [frame(FRAME.priority, 0, 1, Buffer.alloc(4))],
    expected: connection(ERROR.frameSize),
  },
  { name: '6.4: RST_STREAM of no stream', send: [reset(0)], expected: connection(ERROR.protocol) },
  {
    name: '6.4: RST_STREAM of the wrong size',
    send: [post(1), frame(FRAME.rstStream, 0, 1, Buffer.alloc(3))],
    expected: connection(ERROR.frameSize),
  },
  {
    name: '6.5: SETTINGS with ACK and a payload',
    send: [frame(FRAME.settings, FLAG.ack, 0, Buffer.alloc(6))],
    expected: connection(ERROR.frameSize),
  },
  {
    name: '6.5: SETTINGS of a stream',
    send: [frame(FRAME.settings, 0, 1, NOTHING)],
    expected: connection(ERROR.protocol),
  },
  {
    name: '6.5: SETTINGS of the wrong size',
    send: [frame(FRAME.settings, 0, 0, Buffer.alloc(3))],
    expected: connection(ERROR.frameSize),
  },
  {
    name: '6.5.2: SETTINGS_ENABLE_PUSH of 2',
    send: [SETTINGS_WITH_ID(2, 2)],
    expected: connection(ERROR.protocol),
  },
  {
    name: '6.5.2: SETTINGS_INITIAL_WINDOW_SIZE of 2^31',
    send: [SETTINGS_WITH_ID(4, 2 ** 31)],
    expected: connection(ERROR.flowControl),
  },
  {
    name: '6.5.2: SETTINGS_MAX_FRAME_SIZE below 2^14',
    send: [SETTINGS_WITH_ID(5, 16_383)],
    expected: connection(ERROR.protocol),
  },
  {
    name: '6.5.2: SETTINGS_MAX_FRAME_SIZE of 2^24',
    send: [SETTINGS_WITH_ID(5, 2 ** 24)],
    expected: connection(ERROR.protocol),
  },
  {
    name: 'RFC 8441 3: SETTINGS_ENABLE_CONNECT_PROTOCOL of 2',
    send: [SETTINGS_WITH_ID(8, 2)],
    expected: connection(ERROR.protocol),
  },
  {
    name: 'RFC 9218 2.1: SETTINGS_NO_RFC7540_PRIORITIES of 2',
    send: [SETTINGS_WITH_ID(9, 2)],
    expected: connection(ERROR.protocol),
  },
  {
    name: '6.6: PUSH_PROMISE',
    send: [get(1), frame(FRAME.pushPromise, FLAG.endHeaders, 1, Buffer.concat([uint32(2), BLOCK]))],
    expected: connection(ERROR.protocol),
  },
  {
    name: '6.7: PING of a stream',
    send: [frame(FRAME.ping, 0, 1, Buffer.alloc(8))],
    expected: connection(ERROR.protocol),
  },
  {
    name: '6.7: PING of the wrong size',
    send: [frame(FRAME.ping, 0, 0, Buffer.alloc(6))],
    expected: connection(ERROR.frameSize),
  },
  {
    name: '6.8: GOAWAY of a stream',
    send: [frame(FRAME.goaway, 0, 1, Buffer.alloc(8))],
    expected: connection(ERROR.protocol),
  },
  {
    name: '6.8: GOAWAY of the wrong size',
    send: [frame(FRAME.goaway, 0, 0, Buffer.alloc(7))],
    expected: connection(ERROR.frameSize),
  },
  {
    name: '6.9: WINDOW_UPDATE of the connection by 0',
    send: [windowUpdate(0, 0)],
    expected: connection(ERROR.protocol),
  },
  {
    name: '6.9: WINDOW_UPDATE of the wrong size',
    send: [frame(FRAME.windowUpdate, 0, 0, Buffer.alloc(3))],
    expected: connection(ERROR.frameSize),
  },
  {
    name: '6.9.1: a window of the connection beyond 2^31-1',
    send: [windowUpdate(0, 2 ** 31 - 1), windowUpdate(0, 2 ** 31 - 1)],
    expected: connection(ERROR.flowControl),
  },
  {
    name: '6.9.2: an initial window that makes that of a stream larger than 2^31-1',
    send: [post(1), windowUpdate(1, 2 ** 30), SETTINGS_WITH_ID(4, 2 ** 31 - 1)],
    expected: connection(ERROR.flowControl),
  },
  {
    name: '6.10: CONTINUATION and then another type',
    send: [headers(1, FLAG.endStream), continuation(1, 0), dataFrame(1, 'test')],
    expected: connection(ERROR.protocol),
  },
  {
    name: '6.10: CONTINUATION of no stream',
    send: [headers(1, FLAG.endStream), continuation(0)],
    expected: connection(ERROR.protocol),
  },
  {
    name: '6.10: CONTINUATION of another stream',
    send: [headers(1, FLAG.endStream), continuation(3)],
    expected: connection(ERROR.protocol),
  },
  {
    name: '6.10: CONTINUATION after HEADERS with END_HEADERS',
    send: [post(1), continuation(1)],
    expected: connection(ERROR.protocol),
  },
  {
    name: '6.10: CONTINUATION after one with END_HEADERS',
    send: [headers(1, 0), continuation(1), continuation(1)],
    expected: connection(ERROR.protocol),
  },
  {
    name: '6.10: CONTINUATION after DATA',
    send: [post(1), dataFrame(1, 'test', false), continuation(1)],
    expected: connection(ERROR.protocol),
  },
  {
    name: 'RFC 9218 7.1: PRIORITY_UPDATE of a stream',
    send: [frame(0x10, 0, 1, Buffer.concat([uint32(1), Buffer.from('u=1')]))],
    expected: connection(ERROR.protocol),
  },
  {
    name: 'RFC 9218 7.1: PRIORITY_UPDATE for no stream',
    send: [frame(0x10, 0, 0, uint32(0))],
    expected: connection(ERROR.protocol),
  },
  {
    name: 'RFC 9218 7.1: PRIORITY_UPDATE of the wrong size',
    send: [frame(0x10, 0, 0, Buffer.alloc(3))],
    expected: connection(ERROR.frameSize),
  },
]
testCases('HTTP/2, an error of the connection', CONNECTION)

const STREAM: readonly Case[] = [
  {
    name: '5.1: DATA on a half-closed stream',
    send: [get(1), dataFrame(1, 'test')],
    expected: stream(ERROR.streamClosed),
  },
  {
    name: '5.1: HEADERS on a half-closed stream',
    send: [get(1), get(1)],
    expected: stream(ERROR.streamClosed),
  },
  {
    name: '5.1: DATA on a stream that the client has reset',
    send: [post(1), reset(1), dataFrame(1, 'test')],
    expected: stream(ERROR.streamClosed),
  },
  {
    name: '5.1: HEADERS on a stream that the client has reset',
    send: [post(1), reset(1), get(1)],
    expected: stream(ERROR.streamClosed),
  },
  {
    name: '5.1.2: more streams than SETTINGS_MAX_CONCURRENT_STREAMS',
    send: [get(1), get(3), get(5)],
    options: { http2Streams: 2 },
    expected: stream(ERROR.refused, 5),
  },
  {
    name: '5.3.1: HEADERS on a stream that depends on itself',
    send: [headers(1, END | PRIORITY, Buffer.concat([uint32(1), Buffer.of(15), BLOCK]))],
    expected: stream(ERROR.protocol),
  },
  {
    name: '5.3.1: PRIORITY on an open stream that depends on itself',
    send: [post(1), priority(1, 1)],
    expected: stream(ERROR.protocol),
  },
  {
    name: '6.3: PRIORITY of the wrong size',
    send: [post(1), frame(FRAME.priority, 0, 1, Buffer.alloc(4))],
    expected: stream(ERROR.frameSize),
  },
  {
    name: '6.9: WINDOW_UPDATE of a stream by 0',
    send: [post(1), windowUpdate(1, 0)],
    expected: stream(ERROR.protocol),
  },
  {
    name: '6.9: WINDOW_UPDATE by 0 of a stream that has ended',
    send: [get(1), windowUpdate(1, 0)],
    answers: true,
    expected: stream(ERROR.protocol),
  },
  {
    name: '6.9.1: a window of a stream beyond 2^31-1',
    send: [post(1), windowUpdate(1, 2 ** 31 - 1), windowUpdate(1, 2 ** 31 - 1)],
    expected: stream(ERROR.flowControl),
  },
]
testCases('HTTP/2, an error of a stream', STREAM)
