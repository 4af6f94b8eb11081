// Content of a response that waits for its turn or for a window: copies in pooled memory, released as soon as they are
// sent. Usually one chunk, because the source of the response pauses then.
import { buffers, BUFFER_BYTES } from '../../../io/buffer-pool.ts'

/** Shorter ones share the runtime's own slabs. */
const SHORT_BYTES = 8_192

interface Chunk {
  readonly memory: Buffer
  readonly isPooled: boolean
  at: number
  readonly end: number
}

export class SendQueue {
  readonly #chunks: Chunk[] = []

  get isEmpty(): boolean {
    return this.#chunks.length === 0
  }

  /** There is only one chunk. */
  get isLast(): boolean {
    return this.#chunks.length === 1
  }

  get first(): Chunk | undefined {
    return this.#chunks[0]
  }

  /** Appends a copy of the chunk from `from` on. */
  add(source: Buffer, from: number): void {
    for (let at = from; at < source.length; at += BUFFER_BYTES) {
      const end = Math.min(source.length, at + BUFFER_BYTES)
      const isPooled = end - at > SHORT_BYTES
      const memory = isPooled ? buffers.take() : Buffer.allocUnsafe(end - at)
      source.copy(memory, 0, at, end)
      this.#chunks.push({ memory, isPooled, at: 0, end: end - at })
    }
  }

  /** Removes the first chunk. */
  drop(): void {
    const chunk = this.#chunks.shift()
    if (chunk?.isPooled === true) buffers.give(chunk.memory)
  }

  clear(): void {
    while (this.#chunks.length > 0) this.drop()
  }
}
