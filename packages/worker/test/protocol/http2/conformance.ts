// Cases of conformance: bytes that a client sends after its preface, and what a server must do about them.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FLAG, FRAME, frame, type Frame } from '../../support/http2/frames.ts'
import {
  answer,
  goawayOf,
  Http2Peer,
  resetOf,
  responseOf,
  type PeerOptions,
} from '../../support/http2/peer.ts'

export const ERROR = {
  none: 0,
  protocol: 1,
  flowControl: 3,
  streamClosed: 5,
  frameSize: 6,
  refused: 7,
  cancel: 8,
  compression: 9,
  calm: 11,
} as const

type Expected =
  /** GOAWAY with this code, and the end. */
  | { readonly connection: number }
  /** RST_STREAM of this stream with this code; the connection goes on. */
  | { readonly stream: number; readonly code: number }
  /** The connection goes on, and these streams are answered in full. */
  | { readonly answered: readonly number[] }

export interface Case {
  readonly name: string
  readonly send: readonly Uint8Array[]
  readonly expected: Expected
  /** Requests are answered at once; else they wait. */
  readonly answers?: boolean
  readonly options?: PeerOptions
}

const PING = frame(FRAME.ping, 0, 0, Buffer.from('h2-sound'))

function isAlive(frames: readonly Frame[]): boolean {
  return frames.some(
    ({ type, flags, payload }) =>
      type === FRAME.ping && flags === FLAG.ack && payload.toString('latin1') === 'h2-sound',
  )
}

/** The bytes in one read, and again byte by byte: nothing may depend on it. */
export function testCases(title: string, cases: readonly Case[]): void {
  for (const { name, send, expected, answers = false, options } of cases) {
    test(`${title}: ${name}`, async () => {
      for (const isSplit of [false, true]) {
        const peer = new Http2Peer({ ...(answers && { onRequest: (stream) => answer(stream) }), ...options })
        const bytes = Buffer.concat(send)
        if (isSplit) for (const byte of bytes) peer.send(Buffer.of(byte))
        else peer.send(bytes)
        peer.send(PING)
        const frames = await peer.take()
        if ('connection' in expected) {
          assert.equal(goawayOf(frames), expected.connection)
          assert.ok(peer.fault !== undefined)
          assert.ok(!isAlive(frames))
          continue
        }
        assert.equal(peer.fault?.message, undefined)
        assert.ok(isAlive(frames))
        if ('stream' in expected) assert.equal(resetOf(frames, expected.stream), expected.code)
        else {
          for (const streamId of expected.answered) assert.equal(responseOf(frames, streamId), '200 ok')
          assert.equal(frames.find(({ type }) => type === FRAME.rstStream)?.streamId, undefined)
        }
      }
    })
  }
}
