// Collects the bytes for one socket during a turn of the event loop in a pooled buffer and writes them at its end in one
// piece. An idle connection holds no memory. Bytes are copied, so the caller may reuse its own at once. A buffer returns
// to the pool when its write is confirmed.
import type { Socket } from 'node:net'
import { buffers, BUFFER_BYTES } from './buffer-pool.ts'

const LITTLE_BYTES = 16_384

/** The part of a socket that is used. */
export type OutSocket = Pick<Socket, 'write' | 'writable' | 'writableNeedDrain'>

export class OutBuffer {
  /** Position of the next byte in the buffer of `reserve`. The caller moves it when it has put bytes there. */
  end = 0
  readonly #socket: OutSocket
  #buffer: Buffer | undefined
  #isScheduled = false
  /** Written and not confirmed yet, in the order of their writes. */
  readonly #leaving: Buffer[] = []
  #onSettled: (() => void) | undefined

  constructor(socket: OutSocket) {
    this.#socket = socket
  }

  /** The socket is full: add nothing until its 'drain'. */
  get isBlocked(): boolean {
    return this.#socket.writableNeedDrain
  }

  /** So little waits that the kernel will take it at the end of this turn; no need to wait for it. */
  get isSettled(): boolean {
    return this.#leaving.length === 0 && this.end <= LITTLE_BYTES
  }

  /** Calls back when everything so far has been written; never if the socket closes before. */
  whenSettled(callback: () => void): void {
    this.#onSettled = callback
    this.flush()
    if (this.#leaving.length === 0) this.#settle()
  }

  /**
   * Returns a buffer in which `bytes` bytes are free from `end` on. It is valid until the next call of any method.
   * @param bytes BUFFER_BYTES at most
   */
  reserve(bytes: number): Buffer {
    if (this.#buffer !== undefined && this.end + bytes > BUFFER_BYTES) this.flush()
    if (this.#buffer === undefined) {
      this.#buffer = buffers.take()
      this.#schedule()
    }
    return this.#buffer
  }

  /** @param text a character for each byte */
  text(text: string): void {
    const { length } = text
    if (length <= BUFFER_BYTES) {
      this.reserve(length).write(text, this.end, 'latin1')
      this.end += length
      return
    }
    for (let at = 0; at < length; at += BUFFER_BYTES) this.text(text.slice(at, at + BUFFER_BYTES))
  }

  bytes(from: Buffer, start: number, end: number): void {
    while (start < end) {
      const buffer = this.reserve(1)
      const taken = Math.min(end - start, BUFFER_BYTES - this.end)
      from.copy(buffer, this.end, start, start + taken)
      this.end += taken
      start += taken
    }
  }

  /** Writes now what has been collected. */
  flush(): void {
    const buffer = this.#buffer
    if (buffer === undefined) return
    const length = this.end
    this.#buffer = undefined
    this.end = 0
    // The write of a closed socket is never confirmed.
    if (length === 0 || !this.#socket.writable) {
      buffers.give(buffer)
      return
    }
    this.#leaving.push(buffer)
    this.#socket.write(buffer.subarray(0, length), this.#onWritten)
  }

  #schedule(): void {
    if (this.#isScheduled) return
    this.#isScheduled = true
    if (dirty.length === 0) setImmediate(flushAll)
    dirty.push(this)
  }

  /** Called by `flushAll` alone. */
  onTurnEnd(): void {
    this.#isScheduled = false
    this.flush()
  }

  readonly #onWritten = (error?: Error | null): void => {
    const buffer = this.#leaving.shift()
    // After an error the kernel may still read it.
    if (buffer !== undefined && !error) buffers.give(buffer)
    if (!error && this.#leaving.length === 0 && this.#buffer === undefined) this.#settle()
  }

  #settle(): void {
    const callback = this.#onSettled
    this.#onSettled = undefined
    callback?.()
  }
}

/** The buffers that have something to write. */
let dirty: OutBuffer[] = []

/** Rejected: a microtask or `nextTick`, which would flush after every read of an upstream. */
function flushAll(): void {
  const due = dirty
  dirty = []
  for (const out of due) out.onTurnEnd()
}
