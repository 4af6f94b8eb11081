// Keeps a socket readable after a failed write. An upstream may reject a request early: it sends its response and closes,
// the rest of our request then causes a reset, but the response can still be read (RFC 9112 9.6).
import type { Socket } from 'node:net'

/**
 * A failed write only emits 'error': the listener decides when to destroy `socket`. No effect if the runtime lacks these
 * internals.
 */
export function surviveWriteErrors(socket: Socket): void {
  // The runtime offers no other way: it overrides the option of the constructor.
  for (const name of ['_readableState', '_writableState']) {
    const state: unknown = Reflect.get(socket, name)
    if (typeof state === 'object' && state !== null) Reflect.set(state, 'autoDestroy', false)
  }
}

/** Calls `callback` after the data that has already arrived was read. */
export function afterNextReads(callback: () => void): void {
  // The first setImmediate may run before the reads of this turn of the event loop.
  setImmediate(() => setImmediate(callback))
}
