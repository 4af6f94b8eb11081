// SETTINGS in both directions (RFC 9113 6.5): ours, and the values of a client. Pure.
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

/** Bytes that a client may send ahead of the upstream: on one stream, and on all streams of a connection. */
export const STREAM_WINDOW_BYTES = 256 * 1024
export const CONNECTION_WINDOW_BYTES = 1024 * 1024
/**
 * So many cookie crumbs may come in addition to the limit on fields: browsers keep 180 cookies for a site. A repeated
 * crumb is one byte of HPACK but costs a string and two pointers here, so `header_bytes` alone would not bound memory.
 */
const MAX_CRUMBS = 256
/** Size of a crumb beside its value: its name, and 32 bytes (RFC 9113 6.5.2). */
const CRUMB_OVERHEAD_BYTES = 'cookie'.length + 32
const MAX_FRAME_SIZE_LIMIT = 2 ** 24 - 1
/** More entries than there are settings, reserved ones among them. */
export const MAX_SETTINGS = 32

/** The limits that a connection holds its client to. */
export interface SessionLimits {
  readonly maxStreams: number
  /** Twice the configured limit: a request between the two gets a response that says what is wrong. */
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
    // RFC 8441 3: it must not be withdrawn later.
    [SETTING.enableConnectProtocol, 1],
    // RFC 9218 2.1: nor must this.
    [SETTING.noRfc7540Priorities, 1],
  ] as const
  const payload = Buffer.alloc(settings.length * SETTING_BYTES)
  for (const [i, [id, value]] of settings.entries()) {
    payload.writeUInt16BE(id, i * SETTING_BYTES)
    payload.writeUInt32BE(value, i * SETTING_BYTES + 2)
  }
  return payload
}

/** The settings of a client that we use. */
export class PeerSettings {
  initialWindowBytes = INITIAL_WINDOW_BYTES

  /**
   * Applies one setting. Settings about pushes are checked and ignored.
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
        // Our frames never have more than its minimum.
        if (value < MAX_FRAME_BYTES || value > MAX_FRAME_SIZE_LIMIT)
          throw protocolError('SETTINGS_MAX_FRAME_SIZE')
        break
      default:
      // RFC 9113 6.5.2: unknown settings are ignored. The other known ones are advice.
    }
    return undefined
  }
}
