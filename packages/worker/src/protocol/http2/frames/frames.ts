// The numbers of HTTP/2 (RFC 9113 6 and 7, RFC 8441, RFC 9218) and the error that ends a connection. Pure.

export const FRAME = {
  data: 0x0,
  headers: 0x1,
  priority: 0x2,
  rstStream: 0x3,
  settings: 0x4,
  pushPromise: 0x5,
  ping: 0x6,
  goaway: 0x7,
  windowUpdate: 0x8,
  continuation: 0x9,
  priorityUpdate: 0x10,
} as const

export const FLAG = { endStream: 0x1, ack: 0x1, endHeaders: 0x4, padded: 0x8, priority: 0x20 } as const

export const ERROR = {
  noError: 0x0,
  protocolError: 0x1,
  internalError: 0x2,
  flowControlError: 0x3,
  settingsTimeout: 0x4,
  streamClosed: 0x5,
  frameSizeError: 0x6,
  refusedStream: 0x7,
  cancel: 0x8,
  compressionError: 0x9,
  connectError: 0xa,
  enhanceYourCalm: 0xb,
} as const

export const SETTING = {
  headerTableSize: 0x1,
  enablePush: 0x2,
  maxConcurrentStreams: 0x3,
  initialWindowSize: 0x4,
  maxFrameSize: 0x5,
  maxHeaderListSize: 0x6,
  enableConnectProtocol: 0x8,
  noRfc7540Priorities: 0x9,
} as const

export const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')
export const FRAME_HEAD_BYTES = 9
/** Our SETTINGS_MAX_FRAME_SIZE: the smallest and initial value. We send no larger frames either. */
export const MAX_FRAME_BYTES = 16_384
/** Flow-control windows, stream identifiers and increments have 31 bits. */
export const MAX_31_BITS = 0x7fff_ffff
export const INITIAL_WINDOW_BYTES = 65_535
export const SETTING_BYTES = 6
export const RST_STREAM_BYTES = 4
export const PING_BYTES = 8
export const WINDOW_UPDATE_BYTES = 4
export const PRIORITY_BYTES = 5
export const GOAWAY_BYTES = 8

/** Ends the connection with GOAWAY (RFC 9113 5.4.1). */
export class ConnectionError extends Error {
  readonly code: number
  /** The kind of flood; undefined if it is none. */
  readonly flood: string | undefined

  /** @param reason for the log: a code in capitals, or a few words */
  constructor(code: number, reason: string, flood?: string) {
    super(reason)
    this.code = code
    this.flood = flood
  }
}

export function protocolError(reason: string): ConnectionError {
  return new ConnectionError(ERROR.protocolError, reason)
}

export function frameSizeError(reason: string): ConnectionError {
  return new ConnectionError(ERROR.frameSizeError, reason)
}

export function compressionError(reason: string): ConnectionError {
  return new ConnectionError(ERROR.compressionError, reason)
}
