// The admin socket: limits the number of connections and passes each command to its handler. The socket file is
// os/socket-file.ts, one connection is conversation.ts.
import net from 'node:net'
import { messageOf, stackOf } from '@reverse-proxy/shared/error-text'
import type { Log } from '@reverse-proxy/shared/log-fields'
import { Conversation } from './conversation.ts'
import { ADMIN_COMMANDS, CommandError, parseCommand, type AdminHandlers } from './protocol.ts'
import {
  listenOnSocketFile,
  SocketFileError,
  type SocketFile,
  type SocketFileFault,
} from '../../os/socket-file.ts'

const CONVERSATIONS = 10

export interface AdminSocketOptions {
  readonly path: string
  readonly log: Log
  readonly handlers: AdminHandlers
}

export interface AdminSocket {
  /** Ends every conversation and removes the socket if it is still ours. Idempotent. */
  close(): Promise<void>
}

/** Resolves with undefined, and logs the reason, if the socket cannot be created. */
export async function startAdminSocket(options: AdminSocketOptions): Promise<AdminSocket | undefined> {
  const server = new AdminServer(options)
  try {
    await server.listen()
    return server
  } catch (error) {
    options.log.warn('ADMIN', { status: 'unavailable', path: options.path, error: describe(error) })
    return undefined
  }
}

const FAULTS: Readonly<Record<SocketFileFault, string>> = {
  live: 'another process listens on it',
  foreign: 'a file that is not a socket has this name; it was left alone',
  'too-long': 'the path is too long for a socket',
}

function describe(error: unknown): string {
  if (error instanceof SocketFileError) return FAULTS[error.fault]
  return messageOf(error)
}

class AdminServer implements AdminSocket {
  readonly #options: AdminSocketOptions
  // Half-open: `echo status | nc -U` closes its side before it reads the reply.
  readonly #server = net.createServer({ allowHalfOpen: true }, (socket) => this.#onConnection(socket))
  /** In the order of connection. */
  readonly #conversations = new Set<Conversation>()
  #file: SocketFile | undefined
  #closed: Promise<void> | undefined

  constructor(options: AdminSocketOptions) {
    this.#options = options
  }

  async listen(): Promise<void> {
    this.#file = await listenOnSocketFile(this.#server, this.#options.path)
    // Out of file descriptors, for example: the next connection may succeed.
    this.#server.on('error', () => {})
  }

  async close(): Promise<void> {
    this.#closed ??= this.#close()
    await this.#closed
  }

  async #close(): Promise<void> {
    await this.#file?.release()
    const closed = new Promise((resolve) => this.#server.close(resolve))
    for (const conversation of this.#conversations) conversation.reject('the supervisor is stopping')
    await closed
  }

  #onConnection(socket: net.Socket): void {
    const conversation = new Conversation(
      socket,
      async (line) => await this.#onCommand(line),
      () => this.#conversations.delete(conversation),
    )
    if (this.#conversations.size >= CONVERSATIONS) {
      const idle = this.#conversations.values().find(({ isReading }) => isReading)
      if (idle === undefined) {
        conversation.reject('too many commands at once')
        return
      }
      idle.reject('too many connections')
    }
    this.#conversations.add(conversation)
  }

  async #onCommand(line: string): Promise<object> {
    const { name, args } = parseCommand(line)
    const { log, handlers } = this.#options
    const level = ADMIN_COMMANDS[name].changes ? 'info' : 'debug'
    try {
      const report = await handlers[name](args)
      log[level]('ADMIN', { command: name, status: 'ok' })
      return report
    } catch (error) {
      if (error instanceof CommandError)
        log[level]('ADMIN', { command: name, status: 'refused', error: error.message })
      else log.error('ADMIN', { command: name, status: 'failed', error: stackOf(error) })
      throw error
    }
  }
}
