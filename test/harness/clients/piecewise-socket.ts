// A client's connection whose first bytes go out in small pieces, each a TCP segment of its own where the
// kernel lets it be: how a large ClientHello arrives, only worse.
import net from 'node:net'
import { Duplex } from 'node:stream'
import { setImmediate as nextTurn } from 'node:timers/promises'

export class PiecewiseSocket extends Duplex {
  readonly #socket: net.Socket
  readonly #pieceBytes: number
  #isFirst = true

  constructor(target: { readonly port: number; readonly host: string }, pieceBytes: number) {
    super()
    this.#pieceBytes = pieceBytes
    this.#socket = net.connect({ ...target, noDelay: true })
    this.#socket.on('data', (chunk) => {
      if (!this.push(chunk)) this.#socket.pause()
    })
    this.#socket.on('end', () => this.push(null))
    this.#socket.on('error', (error) => this.destroy(error))
    this.#socket.on('close', () => this.destroy())
  }

  override _read(): void {
    this.#socket.resume()
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    if (this.#isFirst) void this.#writePieces(chunk, done)
    else this.#socket.write(chunk, done)
    this.#isFirst = false
  }

  override _final(done: () => void): void {
    this.#socket.end(done)
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#socket.destroy()
    done(error)
  }

  /** Errors come as events. */
  async #writePieces(chunk: Buffer, done: () => void): Promise<void> {
    for (let at = 0; at < chunk.length && !this.#socket.destroyed; at += this.#pieceBytes) {
      this.#socket.write(chunk.subarray(at, at + this.#pieceBytes))
      await nextTurn()
    }
    done()
  }
}
