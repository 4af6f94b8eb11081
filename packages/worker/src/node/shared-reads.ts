// Reads accepted sockets into one buffer that all of them share. A TLS socket would otherwise get 64 KB of new memory
// outside the heap for each read, and every 64 MB of that make the runtime collect the whole heap. Relies on what is
// behind the option `onread` of net.Socket, which accepted sockets do not take: the fields named kBuffer and kBufferCb,
// and useUserBuffer of the handle.
import type { Socket } from 'node:net'
import { Duplex } from 'node:stream'

const READ_BUFFER = Buffer.allocUnsafeSlow(65_536)

type ReadCallback = (bytes: number) => boolean

interface Internals {
  readonly buffer: symbol
  readonly callback: symbol
  readonly useBuffer: (buffer: Buffer) => void
}

/**
 * Calls `onBytes` instead of 'data' listeners; the next read of any socket overwrites the bytes. Pausing, resuming and
 * 'end' are as ever. A runtime without the internals gives each read memory of its own.
 */
export function readShared(socket: Socket, onBytes: (bytes: Buffer) => void): void {
  const internals = internalsOf(socket)
  if (internals === undefined) {
    socket.on('data', onBytes)
    return
  }
  Reflect.set(socket, internals.buffer, READ_BUFFER)
  setCallback(socket, internals, (bytes) => {
    onBytes(READ_BUFFER.subarray(0, bytes))
    return true
  })
  internals.useBuffer(READ_BUFFER)
  // What came before, such as the bytes behind a header of the PROXY protocol.
  if (socket.readableLength > 0) process.nextTick(readEarly, socket, onBytes)
  else socket.read(0)
}

/** The opposite: `socket` is an ordinary stream from now on, and paused. */
export function stopReadingShared(socket: Socket, onBytes: (bytes: Buffer) => void): void {
  const internals = internalsOf(socket)
  socket.off('data', onBytes)
  // Not the pause of net.Socket, which would stop reading: nobody would notice that the client goes.
  Duplex.prototype.pause.call(socket)
  if (internals === undefined) return
  setCallback(socket, internals, (bytes) => socket.push(Buffer.copyBytesFrom(READ_BUFFER, 0, bytes)))
}

function readEarly(socket: Socket, onBytes: (bytes: Buffer) => void): void {
  const early: unknown = socket.read()
  if (early instanceof Buffer) onBytes(early)
}

function setCallback(socket: Socket, { callback }: Internals, onRead: ReadCallback): void {
  Reflect.set(socket, callback, onRead)
}

function internalsOf(socket: Socket): Internals | undefined {
  const symbols = Object.getOwnPropertySymbols(socket)
  const buffer = symbols.find(({ description }) => description === 'kBuffer')
  const callback = symbols.find(({ description }) => description === 'kBufferCb')
  const handle: unknown = Reflect.get(socket, '_handle')
  if (buffer === undefined || callback === undefined || typeof handle !== 'object' || handle === null)
    return undefined
  const use: unknown = Reflect.get(handle, 'useUserBuffer')
  if (typeof use !== 'function') return undefined
  return { buffer, callback, useBuffer: (memory) => void Reflect.apply(use, handle, [memory]) }
}
