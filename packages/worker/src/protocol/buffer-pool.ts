// Memory for what an upstream has sent and its client has not taken yet, used again and again. Fresh memory for
// every read of a large answer is no garbage that is cheap to collect: it is outside the heap, and each 64 MB
// of it have the runtime look through the whole heap for more.

/** As much as one read brings. */
const CHUNK_BYTES = 65_536
/** 4 MB for a worker; what more there was at once is left to the collector. */
const MAX_FREE = 64
/** Shorter ones share the runtime's own slabs. */
const SHORT_BYTES = 8_192

const free: ArrayBufferLike[] = []

/** True if the copy of a chunk comes from a slab of the runtime, so that there is nothing to give back. */
export function isShort(chunk: Uint8Array): boolean {
  return chunk.length <= SHORT_BYTES
}

/** A copy of `chunk`, for which `giveBack` is to be called once nobody reads it any more. */
export function copyChunk(chunk: Buffer): Buffer {
  if (isShort(chunk) || chunk.length > CHUNK_BYTES) return Buffer.from(chunk)
  const memory = free.pop() ?? new ArrayBuffer(CHUNK_BYTES)
  const copy = Buffer.from(memory, 0, chunk.length)
  chunk.copy(copy)
  return copy
}

/**
 * @param copy from `copyChunk`; without this it is garbage like any other
 * @param error with which it was written: then nobody knows who still reads it
 */
export function giveBack(copy: Buffer, error: Error | null | undefined): void {
  const { buffer: memory } = copy
  if (error || isShort(copy) || memory.byteLength !== CHUNK_BYTES || free.length === MAX_FREE) return
  free.push(memory)
}
