// HTTP/2 frames as raw-client.ts sends and keeps them: one character for each byte.
import {
  FLAG,
  FRAME,
  frame as frameOf,
  headerBlock,
  preface,
  readFrames,
  uint32 as uint32Of,
} from './frames.ts'
import type { Frame } from './frames.ts'

/** The preface and a first SETTINGS. */
export const GREETING = preface().toString('latin1')
export const SETTINGS = frame(FRAME.settings, 0, 0)
export const PING = frame(FRAME.ping, 0, 0, '12345678')

export function frame(type: number, flags: number, streamId: number, payload = ''): string {
  return frameOf(type, flags, streamId, Buffer.from(payload, 'latin1')).toString('latin1')
}

export function uint32(value: number): string {
  return uint32Of(value).toString('latin1')
}

/** The header block of a request to a.example. */
export function block(method: 'GET' | 'POST' = 'GET', path = '/'): string {
  const fields = [
    [':method', method],
    [':path', path],
    [':scheme', 'https'],
    [':authority', 'a.example'],
  ] as const
  return headerBlock(fields).toString('latin1')
}

/** A whole request without a body. */
export function get(streamId: number, path = '/'): string {
  return frame(FRAME.headers, FLAG.endStream | FLAG.endHeaders, streamId, block('GET', path))
}

/** The complete frames of what a server has sent. */
export function parseFrames(received: string): readonly Frame[] {
  return readFrames(Buffer.from(received, 'latin1')).frames
}

/** The error code of the first GOAWAY: why it ended. */
export function goawayCode(received: string): number | undefined {
  return parseFrames(received)
    .find(({ type }) => type === FRAME.goaway)
    ?.payload.readUInt32BE(4)
}
