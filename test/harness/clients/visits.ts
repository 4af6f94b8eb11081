// Clients that come, ask for one page each and go, and what TLS was like for each of them. Whoever came to
// which worker is read from the proxy's own log: every visit has a path of its own.
import { once } from 'node:events'
import http2 from 'node:http2'
import { text } from 'node:stream/consumers'
import tls from 'node:tls'
import type { Output } from '../output.ts'
import { waitFor } from '../wait.ts'

export interface VisitOptions {
  readonly port: number
  readonly host: string
  readonly address?: string
  readonly protocol?: 'h2' | 'http/1.1'
  readonly maxVersion?: tls.SecureVersion
  /** From an earlier visit: to be resumed. */
  readonly session?: Buffer | undefined
}

export interface Visit {
  readonly path: string
  /** Unix time: before the connection, after the handshake. */
  readonly startedMs: number
  readonly shownMs: number
  readonly resumed: boolean
  /** Upper-case hex, of the certificate shown; of a resumed visit: of the one that began it. */
  readonly serial: string
  readonly session: Buffer | undefined
}

let visits = 0

/** One connection and one request on it. Rejects with whatever goes wrong, an answer other than 200 included. */
export async function visit({
  port,
  host,
  address = '127.0.0.1',
  protocol = 'http/1.1',
  maxVersion,
  session,
}: VisitOptions): Promise<Visit> {
  const path = `/visit-${process.pid}-${visits++}`
  const startedMs = Date.now()
  let newest: Buffer | undefined
  const socket = tls.connect({
    port,
    host: address,
    servername: host,
    ALPNProtocols: [protocol],
    rejectUnauthorized: false,
    ...(maxVersion !== undefined && { maxVersion }),
    ...(session !== undefined && { session }),
  })
  socket.on('session', (fresh: Buffer) => (newest = fresh))
  try {
    await once(socket, 'secureConnect')
    const shownMs = Date.now()
    const resumed = socket.isSessionReused()
    const serial = socket.getPeerX509Certificate()?.serialNumber ?? ''
    const status = await (protocol === 'h2'
      ? askOverHttp2(socket, host, path)
      : askOverHttp1(socket, host, path))
    if (status !== 200) throw new Error(`${path} was answered ${status}`)
    return { path, startedMs, shownMs, resumed, serial, session: newest }
  } finally {
    socket.on('error', () => {})
    socket.destroy()
  }
}

async function askOverHttp1(socket: tls.TLSSocket, host: string, path: string): Promise<number> {
  socket.write(`GET ${path} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`)
  return Number(/^HTTP\/1\.1 (\d{3}) /u.exec(await text(socket))?.[1])
}

async function askOverHttp2(socket: tls.TLSSocket, host: string, path: string): Promise<number> {
  const session = http2.connect(`https://${host}`, { createConnection: () => socket })
  session.on('error', () => {})
  const stream = session.request({ ':path': path })
  const [headers]: http2.IncomingHttpHeaders[] = await once(stream, 'response')
  await text(stream)
  session.close()
  return Number(headers?.[':status'])
}

export class Visitors {
  readonly visits: Visit[] = []
  /** What went wrong. */
  readonly errors: unknown[] = []
  readonly #stopping = new AbortController()
  readonly #clients: readonly Promise<void>[]

  /** `clients` at a time, one visit after the other until stopped; `optionsOf` says how the n-th one comes. */
  constructor(clients: number, optionsOf: (turn: number) => VisitOptions) {
    let turn = 0
    const come = async (): Promise<void> => {
      while (!this.#stopping.signal.aborted) {
        try {
          this.visits.push(await visit(optionsOf(turn++)))
        } catch (error) {
          this.errors.push(error)
        }
      }
    }
    this.#clients = Array.from({ length: clients }, come)
  }

  /** Resolves when the last visitor has gone. */
  async stop(): Promise<void> {
    this.#stopping.abort()
    await Promise.all(this.#clients)
  }
}

/** Which worker each visit came to, by the access log; waits for the lines. */
export async function workersOf(output: Output, of: readonly Visit[]): Promise<ReadonlyMap<Visit, string>> {
  const workers = new Map<Visit, string>()
  await waitFor('every visit to be in the access log', () => {
    const byPath = new Map<string, string>()
    for (const line of output.lines) {
      const [, path, worker] = / REQUEST .* path=(\/visit-\S+) .* worker=(\d+)/u.exec(line) ?? []
      if (path !== undefined && worker !== undefined) byPath.set(path, worker)
    }
    for (const one of of) {
      const worker = byPath.get(one.path)
      if (worker !== undefined) workers.set(one, worker)
    }
    return workers.size === of.length
  })
  return workers
}
