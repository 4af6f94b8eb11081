// Memory for what is on its way to a client, used again and again. Fresh memory for every write is no garbage that is
// cheap to collect: it is outside the heap, and each 64 MB of it have the runtime look through the whole heap for more.

/** As much as one read of an upstream brings. */
export const BUFFER_BYTES = 65_536
/** 4 MB for a worker; what more there was at once is left to the collector. */
const MAX_FREE = 64

class BufferPool {
  readonly #free: Buffer[] = []

  /** BUFFER_BYTES of memory with anything in it, the caller's until it is given back. */
  take(): Buffer {
    return this.#free.pop() ?? Buffer.allocUnsafeSlow(BUFFER_BYTES)
  }

  /** @param buffer from `take`; nobody may read it or write to it any more, the kernel included */
  give(buffer: Buffer): void {
    if (this.#free.length < MAX_FREE) this.#free.push(buffer)
  }
}

/** One for the whole worker. */
export const buffers = new BufferPool()
