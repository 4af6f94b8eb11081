// Whether what an HTTP/1 client sends is read: not while it has sent more ahead than we want to keep. What
// that is worth is its connection's to say; only who is read can be seen to go, or be called slow.
import type { Socket } from 'node:net'
import { nowMs } from './timers.ts'

export class ReadPause {
  readonly #socket: Socket
  #isHeld = false
  #isGivenAway = false
  /** End of the last pause; monotonic. */
  #letGoMs = -Infinity
  #onLetGo: (() => void) | undefined

  constructor(socket: Socket) {
    this.#socket = socket
    socket.on('resume', () => this.#onResume())
  }

  hold(): void {
    if (this.#isGivenAway || this.#isHeld) return
    this.#isHeld = true
    this.#socket.pause()
  }

  letGo(): void {
    if (!this.#isHeld) return
    this.#isHeld = false
    this.#letGoMs = nowMs()
    this.#socket.resume()
    this.#onLetGo?.()
    this.#onLetGo = undefined
  }

  /** The runtime is about to give the socket to a handshake: what reads it afterwards takes it for flowing. */
  givingAway(): void {
    this.#isGivenAway = true
    if (!this.#isHeld) return
    this.#isHeld = false
    // `resume` itself would say so when nobody listens any more.
    this.#socket.emit('resume')
  }

  givenAway(): void {
    this.#isGivenAway = true
  }

  /**
   * For one who has taken longer than `timeoutMs` over something: whether it was not read during all of
   * that time. If so, `again` is called when it has been.
   */
  excuses(timeoutMs: number, again: () => void): boolean {
    if (this.#isHeld) {
      this.#onLetGo = () => void setTimeout(again, timeoutMs).unref()
      return true
    }
    const leftMs = this.#letGoMs + timeoutMs - nowMs()
    if (leftMs <= 0) return false
    setTimeout(again, leftMs).unref()
    return true
  }

  /** The runtime resumes it for reasons of its own, and says so a moment later. */
  #onResume(): void {
    if (!this.#isHeld) return
    const socket = this.#socket
    // If it counts as paused already, only the event stops the reading.
    if (socket.isPaused()) socket.emit('pause')
    else socket.pause()
  }
}
