// A client of an HTTP/2 session in this process: bytes in, frames out, no socket and no clock but the test's.
import type { OutSocket } from '../../../src/io/out-buffer.ts'
import { FieldLine } from '../../../src/protocol/http2/hpack/field-line.ts'
import type { ConnectionError } from '../../../src/protocol/http2/frames/frames.ts'
import { Http2Session } from '../../../src/protocol/http2/session.ts'
import { sessionLimitsOf } from '../../../src/protocol/http2/streams/settings.ts'
import type { Http2Stream } from '../../../src/protocol/http2/streams/stream.ts'
import { FLAG, FRAME, frame, preface, readFrames, statusOf, type Frame } from './frames.ts'
import { LIMITS } from '../site-server.ts'

export interface PeerOptions {
  /** What is done with a request; else it waits. */
  readonly onRequest?: (stream: Http2Stream) => void
  readonly http2Streams?: number
  /** Instead of the preface and empty SETTINGS. */
  readonly greeting?: Buffer
}

const POISON = 0xdb

export class Http2Peer {
  readonly session: Http2Session
  readonly requests: Http2Stream[] = []
  /** Of the newest call of `take` and before. */
  readonly frames: Frame[] = []
  nowMs = 0
  limits = LIMITS
  fault: ConnectionError | undefined
  isFinished = false
  readonly #socket = new FakeSocket()
  #unread: Buffer = Buffer.alloc(0)

  constructor({ onRequest, http2Streams = 100, greeting = preface() }: PeerOptions = {}) {
    this.limits = { ...LIMITS, http2Streams }
    const socket = this.#socket
    this.session = new Http2Session(
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the one overload that is used
      socket as unknown as OutSocket,
      {
        onRequest: (stream) => {
          this.requests.push(stream)
          onRequest?.(stream)
        },
        onFault: (error) => (this.fault = error),
        onFinished: () => (this.isFinished = true),
      },
      () => sessionLimitsOf(this.limits),
      () => this.nowMs,
    )
    this.send(greeting)
  }

  /** In one read. */
  send(...parts: readonly Uint8Array[]): void {
    const read = Buffer.concat(parts)
    this.session.receive(read)
    // The memory of a read is used again: what was kept of it without a copy goes bad.
    read.fill(POISON)
  }

  /** The newest request. */
  get request(): Http2Stream {
    const request = this.requests.at(-1)
    if (request === undefined) throw new Error('no request has come')
    return request
  }

  /** The frames that this turn has brought. */
  async take(): Promise<readonly Frame[]> {
    await new Promise((resolve) => setImmediate(resolve))
    const { frames, rest } = readFrames(Buffer.concat([this.#unread, ...this.#socket.written.splice(0)]))
    this.#unread = rest
    this.frames.push(...frames)
    return frames
  }

  /** From now on the client reads nothing: the next write makes the socket full. */
  stick(): void {
    this.#socket.isStuck = true
  }

  /** The client reads what the socket holds. */
  drain(): void {
    this.#socket.drain()
    this.session.onDrain()
  }
}

class FakeSocket {
  readonly writable = true
  readonly written: Buffer[] = []
  isStuck = false
  writableNeedDrain = false
  readonly #unconfirmed: (() => void)[] = []

  write(bytes: Buffer, onWritten: () => void): boolean {
    // The memory is used again once this is confirmed.
    this.written.push(Buffer.from(bytes))
    if (!this.isStuck) {
      onWritten()
      return true
    }
    this.writableNeedDrain = true
    this.#unconfirmed.push(onWritten)
    return false
  }

  drain(): void {
    this.isStuck = false
    this.writableNeedDrain = false
    for (const confirm of this.#unconfirmed.splice(0)) confirm()
  }
}

/** A line that nobody has seen before. */
export function line(name: string, value: string): FieldLine {
  return new FieldLine(name, value, false)
}

/** Answers 200 and `body`, once the request is complete or not. */
export function answer(stream: Http2Stream, body = 'ok'): void {
  stream.sendHead(200, [line('content-type', 'text/plain')])
  stream.end(Buffer.from(body))
}

export function settings(...entries: readonly (readonly [id: number, value: number])[]): Buffer {
  const payload = Buffer.alloc(entries.length * 6)
  for (const [i, [id, value]] of entries.entries()) {
    payload.writeUInt16BE(id, i * 6)
    payload.writeUInt32BE(value, i * 6 + 2)
  }
  return frame(FRAME.settings, 0, 0, payload)
}

export function goawayOf(frames: readonly Frame[]): number | undefined {
  return frames.find(({ type }) => type === FRAME.goaway)?.payload.readUInt32BE(4)
}

export function resetOf(frames: readonly Frame[], streamId: number): number | undefined {
  return frames
    .find(({ type, streamId: id }) => type === FRAME.rstStream && id === streamId)
    ?.payload.readUInt32BE(0)
}

/** Status and body of a stream, in short; ' ...' without an end. */
export function responseOf(frames: readonly Frame[], streamId: number): string {
  let text = ''
  let isEnded = false
  for (const { type, flags, streamId: id, payload } of frames) {
    if (id !== streamId) continue
    if (type === FRAME.headers) text += `${text === '' ? statusOf(payload) : 'trailers'} `
    else if (type === FRAME.data) text += payload.toString('latin1')
    isEnded ||= (type === FRAME.headers || type === FRAME.data) && (flags & FLAG.endStream) !== 0
  }
  return isEnded ? text.trim() : `${text}...`
}
