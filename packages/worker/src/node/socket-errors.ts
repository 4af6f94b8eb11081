// A socket that can still be read when it could not be written to. Who refuses a request answers it and closes,
// and what was on its way to it then becomes a reset: the answer lies there all the same (RFC 9112 9.6).
import type { Socket } from 'node:net'

/**
 * A failed write only says so, by 'error': to destroy `socket` is left to whoever hears of it. Without effect if
 * the runtime is made otherwise.
 */
export function surviveWriteErrors(socket: Socket): void {
  // The runtime has no other way to it; a socket's options are overruled.
  for (const name of ['_readableState', '_writableState']) {
    const state: unknown = Reflect.get(socket, name)
    if (typeof state === 'object' && state !== null) Reflect.set(state, 'autoDestroy', false)
  }
}

/** Once what lies there has been read. */
export function afterNextReads(callback: () => void): void {
  // The first may come before them in this turn of the event loop.
  setImmediate(() => setImmediate(callback))
}
