// The frames that the fuzz sends: mostly such as a client sends, with something wrong here and there.
import type { Chance } from '../../fuzz/chance.ts'
import { FLAG, FRAME, frame, headerBlock, uint32, type Fields } from '../../support/http2/frames.ts'
import { settings } from '../../support/http2/peer.ts'
import { requestFields } from '../../support/http2/raw-client.ts'

/** What the client has done so far. */
export interface Sent {
  nextStreamId: number
  /** Sum of the increments of the connection's window. */
  connectionWindow: number
  /** HEADERS, also such as are none. */
  heads: number
  /** Streams whose requests go on. */
  readonly open: Set<number>
}

const ODD_FIELDS: Fields = [
  ['X-UPPER', 'v'],
  ['x', 'a\r\nb'],
  ['connection', 'close'],
  [':path', '/again'],
  ['content-length', '3'],
  ['te', 'gzip'],
]
const PLAIN_FIELDS: Fields = [
  ['accept', '*/*'],
  ['cookie', 'a=1'],
  ['priority', 'u=1, i'],
  ['x-long', 'v'.repeat(300)],
]
const VALUES = [0, 1, 100, 65_535, 2 ** 20, 2 ** 31 - 1, 2 ** 31] as const

type Make = (chance: Chance, sent: Sent) => Buffer

const USUAL: readonly Make[] = [
  request,
  request,
  request,
  data,
  data,
  data,
  (chance, sent) => windowUpdate(sent, known(chance, sent), 1 + chance.below(100_000)),
  (chance, sent) => windowUpdate(sent, 0, 1 + chance.below(1_000)),
  reset,
  (chance) => frame(FRAME.ping, chance.below(2), 0, Buffer.alloc(8)),
  (chance, sent) => frame(FRAME.priority, 0, known(chance, sent), Buffer.concat([uint32(0), Buffer.of(1)])),
  (chance, sent) => frame(0x10, 0, 0, Buffer.concat([uint32(known(chance, sent)), Buffer.from('u=2')])),
  (chance) => settings([chance.pick([1, 3, 4, 6, 77]), chance.below(100_000)]),
  trailers,
]

const ODD: readonly Make[] = [
  (chance) => settings([chance.below(10), chance.pick(VALUES)]),
  (chance, sent) =>
    windowUpdate(sent, chance.percent(50) ? 0 : known(chance, sent), chance.pick(VALUES) % 2 ** 31),
  (chance, sent) => frame(FRAME.continuation, chance.below(8), known(chance, sent), content(chance)),
  (chance, sent) => {
    sent.heads += 1
    return frame(FRAME.headers, chance.below(256), chance.below(2 * sent.nextStreamId), noise(chance))
  },
  (chance, sent) =>
    frame(chance.below(12), chance.below(256), chance.below(sent.nextStreamId + 4), noise(chance)),
  (chance) => frame(0xbe, chance.below(256), chance.below(10), noise(chance)),
  (chance, sent) => frame(FRAME.data, 0, known(chance, sent), Buffer.alloc(16_384 + chance.below(2))),
  (chance, sent) => frame(FRAME.priority, 0, known(chance, sent), Buffer.alloc(chance.below(7))),
  (chance) => noise(chance),
]

export function nextFrame(chance: Chance, sent: Sent): Buffer {
  if (sent.open.size === 0) return request(chance, sent)
  return chance.pick(chance.percent(98) ? USUAL : ODD)(chance, sent)
}

function request(chance: Chance, sent: Sent): Buffer {
  const id = sent.nextStreamId
  sent.nextStreamId += 2 * (1 + chance.below(2))
  sent.heads += 1
  const fields = [...requestFields('/x', chance.pick(['GET', 'POST', 'PUT']))]
  for (let i = chance.below(4); i > 0; i--) fields.push(chance.pick(PLAIN_FIELDS))
  if (chance.percent(8)) fields.push(chance.pick(ODD_FIELDS))
  const block = headerBlock(fields)
  const end = chance.percent(50) ? FLAG.endStream : 0
  if (end === 0) sent.open.add(id)
  if (chance.percent(85)) return frame(FRAME.headers, FLAG.endHeaders | end, id, block)
  const at = chance.below(block.length)
  return Buffer.concat([
    frame(FRAME.headers, end, id, block.subarray(0, at)),
    frame(FRAME.continuation, FLAG.endHeaders, id, block.subarray(at)),
  ])
}

function data(chance: Chance, sent: Sent): Buffer {
  const id = openOf(chance, sent)
  const isLast = chance.percent(20)
  if (isLast) sent.open.delete(id)
  return frame(FRAME.data, isLast ? FLAG.endStream : 0, id, content(chance))
}

function trailers(chance: Chance, sent: Sent): Buffer {
  const id = openOf(chance, sent)
  sent.open.delete(id)
  sent.heads += 1
  return frame(FRAME.headers, FLAG.endHeaders | FLAG.endStream, id, headerBlock([['x-t', 'v']]))
}

function reset(chance: Chance, sent: Sent): Buffer {
  const id = openOf(chance, sent)
  sent.open.delete(id)
  return frame(FRAME.rstStream, 0, id, uint32(chance.below(15)))
}

/** A stream that may still send, if there is one. */
function openOf(chance: Chance, sent: Sent): number {
  return sent.open.size > 0 ? chance.pick([...sent.open]) : known(chance, sent)
}

function windowUpdate(sent: Sent, streamId: number, by: number): Buffer {
  if (streamId === 0) sent.connectionWindow += by
  return frame(FRAME.windowUpdate, 0, streamId, uint32(by))
}

/** Of a stream that has been opened, as far as there is one. */
function known(chance: Chance, sent: Sent): number {
  const back = 2 * chance.below(6)
  return Math.max(1, lastOf(sent) - back)
}

function lastOf({ nextStreamId }: Sent): number {
  return Math.max(1, nextStreamId - 2)
}

function content(chance: Chance): Buffer {
  return Buffer.alloc(chance.below(chance.percent(20) ? 16_384 : 200), 'd')
}

function noise(chance: Chance): Buffer {
  return Buffer.from(Array.from({ length: chance.below(60) }, () => chance.below(256)))
}
