// Where frames end, however the bytes come.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { CLOSE_GOING_AWAY, FrameBoundary } from '../../src/tunnel/websocket-frames.ts'

interface FrameShape {
  readonly opcode: number
  readonly payloadBytes: number
  readonly isMasked: boolean
}

/** RFC 6455 5.2. */
function encode({ opcode, payloadBytes, isMasked }: FrameShape): Buffer {
  const mask = isMasked ? 0x80 : 0
  const length =
    payloadBytes < 126
      ? Buffer.of(mask | payloadBytes)
      : payloadBytes < 65_536
        ? Buffer.of(mask | 126, payloadBytes >> 8, payloadBytes & 0xff)
        : Buffer.concat([Buffer.of(mask | 127), bigEndian(payloadBytes)])
  // The payload is made of bytes that look like headers.
  return Buffer.concat([
    Buffer.of(0x80 | opcode),
    length,
    Buffer.alloc(isMasked ? 4 : 0, 0xff),
    Buffer.alloc(payloadBytes, 0x88),
  ])
}

function bigEndian(value: number): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64BE(BigInt(value))
  return bytes
}

test('a frame may come in between where one has ended, and nowhere else', () => {
  const shape = fc.record({
    opcode: fc.constantFrom(0, 1, 2, 9, 10),
    payloadBytes: fc.oneof(fc.nat({ max: 130 }), fc.constantFrom(125, 126, 127, 65_535, 65_536, 70_000)),
    isMasked: fc.boolean(),
  })
  fc.assert(
    fc.property(
      fc.array(shape, { minLength: 1, maxLength: 5 }),
      fc.infiniteStream(fc.integer({ min: 1, max: 40_000 })),
      (shapes, sizes) => {
        const boundary = new FrameBoundary()
        assert.ok(boundary.mayInsert)
        const frames = shapes.map(encode)
        const bytes = Buffer.concat(frames)
        const ends = new Set<number>()
        let end = 0
        for (const { length } of frames) ends.add((end += length))
        let at = 0
        while (at < bytes.length) {
          const size = sizes.next().value ?? 1
          boundary.see(bytes.subarray(at, at + size))
          at = Math.min(at + size, bytes.length)
          assert.equal(boundary.mayInsert, ends.has(at), `at ${at} of ${[...ends].join()}`)
        }
      },
    ),
  )
})

test('byte by byte, too', () => {
  const boundary = new FrameBoundary()
  const frames = [0, 1, 125, 126, 300, 65_536].map((payloadBytes) =>
    encode({ opcode: 2, payloadBytes, isMasked: true }),
  )
  for (const frame of frames) {
    for (const [i, byte] of frame.entries()) {
      boundary.see(Buffer.of(byte))
      assert.equal(boundary.mayInsert, i === frame.length - 1)
    }
  }
})

test('after a close frame there is no place for another', () => {
  const boundary = new FrameBoundary()
  boundary.see(encode({ opcode: 1, payloadBytes: 5, isMasked: false }))
  assert.ok(boundary.mayInsert)
  boundary.see(CLOSE_GOING_AWAY)
  assert.ok(!boundary.mayInsert)
  assert.deepEqual([...CLOSE_GOING_AWAY], [...Buffer.of(0x88, 2), ...Buffer.of(1001 >> 8, 1001 & 0xff)])
})
