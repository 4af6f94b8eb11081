// One connection to the admin socket: reads a command within a size and a time limit, passes it on and sends the reply
// as one line. Knows nothing about the commands.
import type { Socket } from 'node:net'
import { describeWithHint } from '@reverse-proxy/shared/errors'
import { CommandError, COMMAND_BYTES } from './protocol.ts'

const COMMAND_TIMEOUT_MS = 5_000
/** How long a client may take to read its reply. */
const REPLY_TIMEOUT_MS = 5_000
/** How long to keep reading from a client that was refused before it had sent its command. */
const LINGER_MS = 1_000
const NEWLINE = 0x0a

export class Conversation {
  readonly #socket: Socket
  readonly #onCommand: (line: string) => Promise<object>
  readonly #onOver: () => void
  readonly #chunks: Buffer[] = []
  #bytes = 0
  #timer: NodeJS.Timeout
  #state: 'reading' | 'running' | 'over' = 'reading'

  /** @param onOver called once, when the reply has been sent or the client is gone */
  constructor(socket: Socket, onCommand: (line: string) => Promise<object>, onOver: () => void) {
    this.#socket = socket
    this.#onCommand = onCommand
    this.#onOver = onOver
    this.#timer = setTimeout(() => this.reject('timed out waiting for a command'), COMMAND_TIMEOUT_MS)
    socket.on('error', () => {})
    socket.on('close', () => this.#over())
    socket.on('data', (chunk: Buffer) => this.#onData(chunk))
    socket.on('end', () => this.#onEnd())
  }

  /** The client has not sent a complete command yet. */
  get isReading(): boolean {
    return this.#state === 'reading'
  }

  /** Ends the connection with an error, unless a reply has been sent. */
  reject(message: string, errors?: CommandError['errors']): void {
    this.#reply({ status: 'error', message, errors })
  }

  #onData(chunk: Buffer): void {
    if (this.#state !== 'reading') return
    const newline = chunk.indexOf(NEWLINE)
    this.#bytes += newline === -1 ? chunk.length : newline + 1
    if (this.#bytes > COMMAND_BYTES) {
      this.reject('command too long')
      return
    }
    this.#chunks.push(newline === -1 ? chunk : chunk.subarray(0, newline))
    if (newline === -1) return
    // One command per connection: what follows is not read.
    this.#socket.pause()
    this.#state = 'running'
    clearTimeout(this.#timer)
    void this.#run(Buffer.concat(this.#chunks).toString())
  }

  #onEnd(): void {
    if (this.#state !== 'reading') return
    if (this.#bytes === 0) this.#socket.destroy()
    else this.reject('a command ends with a newline')
  }

  async #run(line: string): Promise<void> {
    try {
      this.#reply({ status: 'ok', ...(await this.#onCommand(line)) })
    } catch (error) {
      if (error instanceof CommandError) this.reject(error.message, error.errors)
      else this.reject(`it failed: ${describeWithHint(error)}; the log has the rest`)
    }
  }

  #reply(reply: object): void {
    const state = this.#state
    if (state === 'over') return
    this.#over()
    const socket = this.#socket
    const line = `${JSON.stringify(reply)}\n`
    // A client that still writes gets EPIPE if we close first, so wait for it to finish, within a limit.
    const lingers = state === 'reading'
    this.#timer = setTimeout(() => socket.destroy(), lingers ? LINGER_MS : REPLY_TIMEOUT_MS)
    socket.end(line, lingers ? undefined : () => socket.destroy())
  }

  #over(): void {
    clearTimeout(this.#timer)
    if (this.#state === 'over') return
    this.#state = 'over'
    this.#onOver()
  }
}
