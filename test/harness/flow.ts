// Large bodies: made, paced and checked without being held.
import type { Hash } from 'node:crypto'
import { createHash, randomBytes } from 'node:crypto'
import { Readable, Writable } from 'node:stream'

const BLOCK_BYTES = 64 * 1024

/** Exactly `bytes`, as fast as it is read; the hash is complete when it has ended. */
export function source(bytes: number): { readonly stream: Readable; readonly hash: Hash } {
  const hash = createHash('sha256')
  const block = randomBytes(BLOCK_BYTES)
  let left = bytes
  const stream = new Readable({
    highWaterMark: BLOCK_BYTES,
    read() {
      if (left === 0) {
        this.push(null)
        return
      }
      const chunk = block.subarray(0, Math.min(left, BLOCK_BYTES))
      left -= chunk.byteLength
      hash.update(chunk)
      this.push(chunk)
    },
  })
  return { stream, hash }
}

/** Takes everything, at no more than `bytesPerSecond`; the hash is complete when it has finished. */
export function sink(bytesPerSecond = Infinity): {
  readonly stream: Writable
  readonly hash: Hash
  readonly bytes: () => number
} {
  const hash = createHash('sha256')
  let bytes = 0
  let startedMs: number | undefined
  const stream = new Writable({
    write(chunk: Buffer, _encoding, done) {
      startedMs ??= performance.now()
      hash.update(chunk)
      bytes += chunk.byteLength
      const aheadMs = startedMs + (bytes / bytesPerSecond) * 1000 - performance.now()
      if (aheadMs < 2) done()
      else setTimeout(done, aheadMs)
    },
  })
  return { stream, hash, bytes: () => bytes }
}
