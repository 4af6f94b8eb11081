// One client on many HTTP/1.1 connections, each with one small request after the other: load with next to
// no cost of its own, and a note of when each request was sent and how it was answered.
import { once } from 'node:events'
import { setTimeout as elapse } from 'node:timers/promises'
import tls from 'node:tls'
import type { RequestOptions } from './request.ts'

export interface Outcome {
  readonly sentMs: number
  readonly doneMs: number
  readonly status: number
  /** The answer's head. */
  readonly head: string
}

export class Crowd {
  readonly outcomes: Outcome[] = []
  readonly #target: RequestOptions
  readonly #sockets: readonly tls.TLSSocket[]
  readonly #thinkMs: number
  #isStopped = false
  #done: Promise<unknown> = Promise.resolve()

  private constructor(target: RequestOptions, sockets: readonly tls.TLSSocket[], thinkMs: number) {
    this.#target = target
    this.#sockets = sockets
    this.#thinkMs = thinkMs
  }

  /** Resolves when all connections are open and nothing has been asked yet. */
  static async connect(target: RequestOptions, connections: number, thinkMs: number): Promise<Crowd> {
    const sockets = await Promise.all(
      Array.from({ length: connections }, async () => await openConnection(target)),
    )
    return new Crowd(target, sockets, thinkMs)
  }

  start(): void {
    this.#done = Promise.all(this.#sockets.map(async (socket) => await this.#ask(socket)))
  }

  /** Resolves when the last answer has come. */
  async stop(): Promise<void> {
    this.#isStopped = true
    await this.#done
  }

  async #ask(first: tls.TLSSocket): Promise<void> {
    let socket = first
    while (!this.#isStopped) {
      // Its worker has been replaced.
      if (socket.destroyed || socket.readableEnded) socket = await openConnection(this.#target)
      const sentMs = performance.now()
      socket.write(`GET / HTTP/1.1\r\nHost: ${this.#target.host}\r\n\r\n`)
      const head = await answerOn(socket)
      if (head !== undefined) {
        this.outcomes.push({ sentMs, doneMs: performance.now(), status: Number(head.slice(9, 12)), head })
      }
      await elapse(this.#thinkMs)
    }
    socket.destroy()
  }
}

async function openConnection({ port, host, ca, address }: RequestOptions): Promise<tls.TLSSocket> {
  const socket = tls.connect({ port, host: address ?? '127.0.0.1', servername: host, ca })
  socket.on('error', () => {})
  await once(socket, 'secureConnect')
  return socket
}

/** The head of an answer with a length, when all of it is there; undefined if the connection ends before. */
async function answerOn(socket: tls.TLSSocket): Promise<string | undefined> {
  let received = ''
  const { promise, resolve } = Promise.withResolvers<string | undefined>()
  const onData = (chunk: Buffer): void => {
    received += chunk.toString('latin1')
    const headEnd = received.indexOf('\r\n\r\n')
    if (headEnd < 0) return
    const length = /\r\ncontent-length: (\d+)/i.exec(received)?.[1]
    if (received.length >= headEnd + 4 + Number(length)) resolve(received.slice(0, headEnd))
  }
  const onEnd = (): void => resolve(undefined)
  socket.on('data', onData).on('end', onEnd).on('close', onEnd)
  try {
    return await promise
  } finally {
    socket.off('data', onData).off('end', onEnd).off('close', onEnd)
  }
}
