// SETTINGS in both directions (RFC 9113 6.5): what we tell a client, and what a client's values mean. Pure.
import type { Limits } from '@reverse-proxy/shared/config/config'
import {
  ConnectionError,
  ERROR,
  INITIAL_WINDOW_BYTES,
  MAX_31_BITS,
  MAX_FRAME_BYTES,
  protocolError,
  SETTING,
  SETTING_BYTES,
} from '../frames/frames.ts'
import type { FieldLimits } from '../hpack/decoder.ts'

/** How far a client may run ahead of the upstream on one stream, and on all streams of a connection. */
export const STREAM_WINDOW_BYTES = 256 * 1024
export const CONNECTION_WINDOW_BYTES = 1024 * 1024
/**
 * So many cookie crumbs are let through beside the fields: browsers keep 180 cookies for a site. A repeated crumb is
 * one byte of HPACK and costs a string and two pointers here, so that `header_bytes` alone bounds no memory.
 */
const MAX_CRUMBS = 256
/** Bytes that HTTP/2 counts for a crumb beside its value: its name, and 32 bytes (RFC 9113 6.5.2). */
const CRUMB_OVERHEAD_BYTES = 'cookie'.length + 32
const MAX_FRAME_SIZE_LIMIT = 2 ** 24 - 1
/** More entries than there are settings, reserved ones among them. */
export const MAX_SETTINGS = 32

/** The limits that a connection holds its client to. */
export interface SessionLimits {
  readonly maxStreams: number
  /** Up to it, twice our own limit, a request gets an answer that says what is wrong. */
  readonly fields: FieldLimits
}

export function sessionLimitsOf({ http2Streams, headerBytes, headerCount }: Limits): SessionLimits {
  return {
    maxStreams: http2Streams,
    fields: {
      bytes: Math.max(2 * headerBytes, headerBytes + MAX_CRUMBS * CRUMB_OVERHEAD_BYTES),
      count: 2 * headerCount + MAX_CRUMBS,
    },
  }
}

/** The payload of our SETTINGS. */
export function settingsPayload({ maxStreams, fields }: SessionLimits): Buffer {
  const settings = [
    [SETTING.maxConcurrentStreams, maxStreams],
    [SETTING.initialWindowSize, STREAM_WINDOW_BYTES],
    [SETTING.maxHeaderListSize, fields.bytes],
    // RFC 8441 3: never to be taken back.
    [SETTING.enableConnectProtocol, 1],
    // RFC 9218 2.1: and neither is this.
    [SETTING.noRfc7540Priorities, 1],
  ] as const
  const payload = Buffer.alloc(settings.length * SETTING_BYTES)
  for (const [i, [id, value]] of settings.entries()) {
    payload.writeUInt16BE(id, i * SETTING_BYTES)
    payload.writeUInt32BE(value, i * SETTING_BYTES + 2)
  }
  return payload
}

/** The settings of a client, as far as we act by them. */
export class PeerSettings {
  initialWindowBytes = INITIAL_WINDOW_BYTES

  /**
   * One setting. What concerns a server's requests or pushes is checked and means nothing to us.
   * @returns SETTINGS_HEADER_TABLE_SIZE, if it is that
   * @throws ConnectionError
   */
  apply(id: number, value: number): number | undefined {
    switch (id) {
      case SETTING.headerTableSize:
        return value
      case SETTING.enablePush:
      case SETTING.enableConnectProtocol:
      case SETTING.noRfc7540Priorities:
        if (value > 1) throw protocolError('a setting that is neither 0 nor 1')
        break
      case SETTING.initialWindowSize:
        if (value > MAX_31_BITS)
          throw new ConnectionError(ERROR.flowControlError, 'an initial window too large')
        this.initialWindowBytes = value
        break
      case SETTING.maxFrameSize:
        // Ours never have more than the least that it may say.
        if (value < MAX_FRAME_BYTES || value > MAX_FRAME_SIZE_LIMIT)
          throw protocolError('SETTINGS_MAX_FRAME_SIZE')
        break
      default:
      // RFC 9113 6.5.2: to be ignored if it is unknown. The others are advice.
    }
    return undefined
  }
}
