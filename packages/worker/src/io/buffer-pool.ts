// A pool of buffers for bytes on their way to a client. New memory for every write would be expensive to collect: it is
// outside the heap, and every 64 MB of it make the runtime collect the whole heap.

/** The size of one read of an upstream. */
export const BUFFER_BYTES = 65_536
/** 4 MB for a worker; buffers beyond that are left to the garbage collector. */
const MAX_FREE = 64

class BufferPool {
  readonly #free: Buffer[] = []

  /** BUFFER_BYTES of memory with anything in it, the caller's until it is given back. */
  take(): Buffer {
    return this.#free.pop() ?? Buffer.allocUnsafeSlow(BUFFER_BYTES)
  }

  /** @param buffer from `take`; neither the caller nor the kernel may use it afterwards */
  give(buffer: Buffer): void {
    if (this.#free.length < MAX_FREE) this.#free.push(buffer)
  }
}

/** One for the whole worker. */
export const buffers = new BufferPool()
