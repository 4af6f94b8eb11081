// Checks the head of a frame by itself (RFC 9113 6): which stream it may name, and how long it may be. Pure.
import {
  FLAG,
  FRAME,
  frameSizeError,
  GOAWAY_BYTES,
  PING_BYTES,
  protocolError,
  RST_STREAM_BYTES,
  SETTING_BYTES,
  WINDOW_UPDATE_BYTES,
} from './frames.ts'

/** @throws ConnectionError */
export function checkFrameHead(type: number, flags: number, streamId: number, length: number): void {
  switch (type) {
    case FRAME.data:
    case FRAME.continuation:
      if (streamId === 0) throw protocolError('a frame of no stream')
      break
    case FRAME.headers:
      // RFC 9113 5.1.1: streams of a client are odd.
      if (streamId % 2 === 0) throw protocolError('HEADERS on a stream that is no client’s')
      break
    case FRAME.priority:
      if (streamId === 0) throw protocolError('PRIORITY of no stream')
      break
    case FRAME.rstStream:
      if (streamId === 0) throw protocolError('RST_STREAM of no stream')
      if (length !== RST_STREAM_BYTES) throw frameSizeError('RST_STREAM')
      break
    case FRAME.settings:
      if (streamId !== 0) throw protocolError('SETTINGS of a stream')
      if (length % SETTING_BYTES !== 0) throw frameSizeError('SETTINGS')
      if ((flags & FLAG.ack) !== 0 && length > 0) throw frameSizeError('SETTINGS with ACK')
      break
    case FRAME.pushPromise:
      throw protocolError('PUSH_PROMISE from a client')
    case FRAME.ping:
      if (streamId !== 0) throw protocolError('PING of a stream')
      if (length !== PING_BYTES) throw frameSizeError('PING')
      break
    case FRAME.goaway:
      if (streamId !== 0) throw protocolError('GOAWAY of a stream')
      if (length < GOAWAY_BYTES) throw frameSizeError('GOAWAY')
      break
    case FRAME.windowUpdate:
      if (length !== WINDOW_UPDATE_BYTES) throw frameSizeError('WINDOW_UPDATE')
      break
    case FRAME.priorityUpdate:
      // RFC 9218 7.1.
      if (streamId !== 0) throw protocolError('PRIORITY_UPDATE of a stream')
      if (length < 4) throw frameSizeError('PRIORITY_UPDATE')
      break
    default:
    // RFC 9113 5.5: a frame of an unknown type is ignored.
  }
}
