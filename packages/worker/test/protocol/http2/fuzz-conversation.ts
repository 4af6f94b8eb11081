// One connection that the fuzz holds: what the client sends, what the other side does meanwhile, and the rules that the
// frames of the server must keep.
import type { Field } from '../../../src/protocol/http2/hpack/field.ts'
import { HpackDecoder } from '../../../src/protocol/http2/hpack/decoder.ts'
import type { Http2Stream } from '../../../src/protocol/http2/streams/stream.ts'
import type { Chance } from '../../fuzz/chance.ts'
import { FLAG, FRAME, preface, type Frame } from '../../support/http2/frames.ts'
import { Http2Peer, line } from '../../support/http2/peer.ts'
import { nextFrame, type Sent } from './fuzz-frames.ts'

const MAX_FRAMES = 120
const INITIAL_WINDOW = 65_535
const CRUMBS = 7

export interface Outcome {
  readonly findings: readonly string[]
  readonly frames: number
  readonly requests: number
  readonly ending: 'fault' | 'finished' | 'gone'
  /** Code of GOAWAY. */
  readonly fault: number | undefined
}

/** What is known of the server's side. */
class Rules {
  readonly findings: string[] = []
  readonly #decoder = new HpackDecoder()
  readonly #ended = new Set<number>()
  readonly #answered = new Set<number>()
  #data = 0
  #block: Buffer[] = []
  #isOver = false

  check(frames: readonly Frame[], sent: Sent): void {
    for (const { type, flags, streamId, payload } of frames) {
      if (this.#isOver) this.findings.push(`a frame of type ${type} after GOAWAY with an error`)
      if (payload.length > 16_384) this.findings.push('a frame larger than the setting')
      if (this.#block.length > 0 && type !== FRAME.continuation) this.findings.push('a header section cut')
      switch (type) {
        case FRAME.data:
          this.#data += payload.length
          if (!this.#answered.has(streamId)) this.findings.push(`DATA before HEADERS on ${streamId}`)
          this.#onStream(streamId, flags)
          break
        case FRAME.headers:
        case FRAME.continuation:
          this.#block.push(payload)
          if ((flags & FLAG.endHeaders) !== 0) this.#onHead()
          this.#answered.add(streamId)
          if (type === FRAME.headers) this.#onStream(streamId, flags)
          break
        case FRAME.rstStream:
          this.#ended.add(streamId)
          break
        case FRAME.goaway:
          this.#isOver = payload.readUInt32BE(4) !== 0
          break
        default:
      }
      if (streamId % 2 === 0 && streamId !== 0) this.findings.push(`stream ${streamId}`)
    }
    if (this.#data > INITIAL_WINDOW + sent.connectionWindow)
      this.findings.push(`${this.#data} bytes, more than the window of the connection`)
  }

  #onStream(streamId: number, flags: number): void {
    if (this.#ended.has(streamId)) this.findings.push(`a frame on ${streamId}, which has ended`)
    if ((flags & FLAG.endStream) !== 0) this.#ended.add(streamId)
  }

  #onHead(): void {
    const block = Buffer.concat(this.#block)
    this.#block = []
    const fields: Field[] = []
    this.#decoder.decode(block, 0, block.length, fields, { bytes: 1e6, count: 1e3 })
    const [first] = fields
    if (first !== undefined && first.name !== ':status' && first.name !== 'x-trailer')
      this.findings.push(`a head that begins with ${first.name}`)
  }
}

export async function holdConversation(chance: Chance): Promise<Outcome> {
  const greeting = chance.percent(97) ? preface() : preface().subarray(0, chance.below(40))
  const peer = new Http2Peer({ greeting, http2Streams: 1 + chance.below(20) })
  const sent: Sent = { nextStreamId: 1, connectionWindow: 0, heads: 0, open: new Set() }
  const rules = new Rules()
  const length = 1 + chance.below(MAX_FRAMES)
  let frames = 0
  let held: Buffer = Buffer.alloc(0)
  while (frames < length && peer.fault === undefined && !peer.isFinished) {
    held = Buffer.concat([held, nextFrame(chance, sent)])
    frames += 1
    if (chance.percent(60)) held = feed(chance, peer, held)
    if (peer.requests.length > 0 && chance.percent(50)) work(chance, chance.pick(peer.requests))
    if (chance.percent(3)) peer.stick()
    if (chance.percent(6)) peer.drain()
    if (chance.percent(20)) rules.check(await peer.take(), sent)
    if (chance.percent(1)) peer.session.announceEnd()
    if (chance.percent(1)) peer.session.finish()
    peer.nowMs += chance.below(200)
  }
  peer.send(held)
  peer.drain()
  const fault = peer.fault?.code
  const ending = endingOf(peer)
  peer.session.onTransportClosed()
  rules.check(await peer.take(), sent)
  await peer.take()
  return {
    findings: [...rules.findings, ...left(peer, sent)],
    frames,
    requests: peer.requests.length,
    ending,
    fault,
  }
}

function endingOf({ fault, isFinished }: Http2Peer): Outcome['ending'] {
  if (fault !== undefined) return 'fault'
  return isFinished ? 'finished' : 'gone'
}

/** Most of it, cut into a few reads. @returns the rest */
function feed(chance: Chance, peer: Http2Peer, bytes: Buffer): Buffer {
  let at = 0
  for (let i = chance.below(CRUMBS); i > 0 && at < bytes.length; i--) {
    const end = at + 1 + chance.below(bytes.length - at)
    peer.send(bytes.subarray(at, end))
    at = end
  }
  if (chance.percent(20)) return bytes.subarray(at)
  peer.send(bytes.subarray(at))
  return Buffer.alloc(0)
}

/** What an exchange may do, in an order in which it may. */
function work(chance: Chance, stream: Http2Stream & { isAnswered?: boolean; isFlowing?: boolean }): void {
  if (!stream.isFlowing && chance.percent(30)) {
    stream.isFlowing = true
    const onBody = (): boolean => chance.percent(70)
    stream.body.flowTo({ onBody, onBodyEnd: () => {}, onBodyGone: () => {} })
  } else if (chance.percent(20)) {
    if (stream.isFlowing) stream.body.resume()
    else if (chance.percent(25)) stream.body.stop()
    else if (chance.percent(15)) stream.reset(2)
  } else if (!stream.isAnswered) {
    if (chance.percent(20)) stream.sendHead(103, [line('link', '<a>')])
    stream.sendHead(chance.pick([200, 204, 404, 999]), [line('x', 'v'.repeat(chance.below(200)))])
    stream.isAnswered = true
  } else if (chance.percent(50)) {
    stream.write(Buffer.alloc(chance.below(chance.percent(20) ? 70_000 : 500), 'w'))
  } else {
    const last = chance.percent(50) ? Buffer.alloc(chance.below(20_000), 'e') : undefined
    stream.end(last, chance.percent(20) ? [line('x-trailer', 'v')] : [])
  }
}

function left(peer: Http2Peer, sent: Sent): string[] {
  const findings: string[] = []
  const ids = peer.requests.map(({ id }) => id)
  if (new Set(ids).size !== ids.length) findings.push('two requests on one stream')
  if (ids.length > sent.heads) findings.push(`${ids.length} requests of ${sent.heads} heads`)
  if (peer.session.openStreams !== 0) findings.push(`${peer.session.openStreams} streams left`)
  if (peer.requests.some(({ isClosed }) => !isClosed)) findings.push('a stream that has not heard of its end')
  return findings
}
