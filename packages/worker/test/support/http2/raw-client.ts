// An HTTP/2 connection of frames: sends what it is told and keeps the frames that come back.
import { EventEmitter, once } from 'node:events'
import type { TestContext } from 'node:test'
import tls from 'node:tls'
import { FLAG, FRAME, frame, headersFrame, preface, readFrames, statusOf } from './frames.ts'
import type { Fields, Frame } from './frames.ts'

/** How a stream, or the whole connection, came to its end. */
export interface StreamOutcome {
  /** 0: there was no answer. */
  readonly status: number
  readonly body: string
  /** Of RST_STREAM, or of GOAWAY where that ended it; undefined for an end in peace. */
  readonly errorCode: number | undefined
}

export interface RawHttp2Client {
  readonly socket: tls.TLSSocket
  readonly frames: readonly Frame[]
  readonly send: (...frames: readonly Uint8Array[]) => void
  /** Resolves when the stream has ended, or the connection. */
  readonly outcome: (streamId: number) => Promise<StreamOutcome>
  /** Resolves when `holds` is true of the frames so far, or the connection has ended. */
  readonly until: (holds: (frames: readonly Frame[]) => boolean) => Promise<void>
  /** An ordinary request on a stream of its own; resolves with the status. */
  readonly ask: (path: string) => Promise<number>
}

/** Every field a request must have, for what follows. */
export function requestFields(path: string, method = 'GET'): Fields {
  return [
    [':method', method],
    [':scheme', 'https'],
    [':path', path],
    [':authority', 'a.example'],
  ]
}

/** The preface has been sent when this resolves; SETTINGS and PING are answered. */
export async function connectRawHttp2(t: TestContext, port: number): Promise<RawHttp2Client> {
  const socket = tls.connect({
    port,
    host: '127.0.0.1',
    servername: 'a.example',
    ALPNProtocols: ['h2'],
    rejectUnauthorized: false,
  })
  socket.on('error', () => {})
  t.after(() => socket.destroy())
  const frames: Frame[] = []
  let unread: Buffer = Buffer.alloc(0)
  const changes = new EventEmitter()
  changes.setMaxListeners(0)
  let nextStreamId = 10_001
  socket.on('data', (chunk: Buffer) => {
    const read = readFrames(Buffer.concat([unread, chunk]))
    unread = read.rest
    frames.push(...read.frames)
    for (const { type, flags, payload } of read.frames) {
      if ((flags & FLAG.ack) !== 0 || !socket.writable) continue
      if (type === FRAME.settings) socket.write(frame(FRAME.settings, FLAG.ack, 0, Buffer.alloc(0)))
      if (type === FRAME.ping) socket.write(frame(FRAME.ping, FLAG.ack, 0, payload))
    }
    changes.emit('change')
  })
  socket.on('close', () => changes.emit('change'))
  await once(socket, 'secureConnect')
  const send = (...parts: readonly Uint8Array[]): void => void socket.write(Buffer.concat(parts))
  send(preface())
  const until = async (holds: (all: readonly Frame[]) => boolean): Promise<void> => {
    while (!holds(frames) && !socket.closed) await once(changes, 'change')
  }
  const outcome = async (streamId: number): Promise<StreamOutcome> => {
    const isMine = (candidate: Frame): boolean => candidate.streamId === streamId
    await until((all) => all.some((candidate) => isMine(candidate) && isEnd(candidate)))
    return outcomeOf(frames.filter((candidate) => isMine(candidate) || candidate.type === FRAME.goaway))
  }
  const ask = async (path: string): Promise<number> => {
    const streamId = nextStreamId
    nextStreamId += 2
    send(headersFrame(streamId, requestFields(path)))
    return (await outcome(streamId)).status
  }
  return { socket, frames, send, outcome, until, ask }
}

function isEnd({ type, flags }: Frame): boolean {
  if (type === FRAME.rstStream) return true
  return (type === FRAME.data || type === FRAME.headers) && (flags & FLAG.endStream) !== 0
}

function outcomeOf(frames: readonly Frame[]): StreamOutcome {
  let status = 0
  let body = ''
  let errorCode: number | undefined
  for (const { type, payload } of frames) {
    if (type === FRAME.headers) status ||= finalStatus(payload)
    else if (type === FRAME.data) body += payload.toString('latin1')
    else if (type === FRAME.rstStream) errorCode = payload.readUInt32BE(0)
    else if (type === FRAME.goaway) errorCode ??= payload.readUInt32BE(4)
  }
  return { status, body, errorCode }
}

/** 0 for an interim response. */
function finalStatus(block: Buffer): number {
  const status = statusOf(block)
  return status < 200 ? 0 : status
}
