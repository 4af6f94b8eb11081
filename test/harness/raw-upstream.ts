// An upstream on raw TCP that keeps every byte it was sent and answers as a test says.
import net from 'node:net'
import type { Lifetime } from './directory.ts'
import { listen } from './ports.ts'

export interface UpstreamConnection {
  readonly socket: net.Socket
  /** All that came in, one character for each byte. */
  received: string
}

/** Called whenever more has come in. */
export type Behaviour = (connection: UpstreamConnection) => void

export interface RawUpstream {
  readonly port: number
  /** `host:port` as the configuration wants it. */
  readonly authority: string
  readonly connections: UpstreamConnection[]
  /** All bytes of all connections, in the order of the connections. */
  readonly received: () => string
  /** @throws if there has been none */
  readonly newest: () => UpstreamConnection
}

export async function startUpstream(t: Lifetime, behave: Behaviour): Promise<RawUpstream> {
  const connections: UpstreamConnection[] = []
  const server = net.createServer({ noDelay: true }, (socket) => {
    const connection: UpstreamConnection = { socket, received: '' }
    connections.push(connection)
    socket.on('error', () => {})
    socket.on('data', (chunk) => {
      connection.received += chunk.toString('latin1')
      behave(connection)
    })
  })
  const port = await listen(t, server)
  t.after(() => {
    for (const { socket } of connections) socket.destroy()
  })
  return {
    port,
    authority: `127.0.0.1:${port}`,
    connections,
    received: () => connections.map(({ received }) => received).join(''),
    newest() {
      const connection = connections.at(-1)
      if (connection === undefined) throw new Error('nothing has connected')
      return connection
    },
  }
}

/** Answers every complete request, head and body, with these bytes. */
export function answering(response: string | ((request: UpstreamRequest) => string)): Behaviour {
  const consumed = new WeakMap<UpstreamConnection, number>()
  return (connection) => {
    for (;;) {
      const at = consumed.get(connection) ?? 0
      const request = readRequest(connection.received.slice(at))
      if (request === undefined) return
      consumed.set(connection, at + request.bytes)
      const answer = typeof response === 'string' ? response : response(request)
      if (answer !== '') connection.socket.write(answer, 'latin1')
    }
  }
}

export const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'

export interface UpstreamRequest {
  readonly line: string
  /** In the order they came; names as they came. */
  readonly headers: readonly (readonly [name: string, value: string])[]
  readonly body: string
  /** On the wire. */
  readonly bytes: number
}

/** A strict reader: one complete request at the beginning of `text`, or undefined if it is not all there. */
export function readRequest(text: string): UpstreamRequest | undefined {
  const headEnd = text.indexOf('\r\n\r\n')
  if (headEnd === -1) return undefined
  const [line = '', ...fields] = text.slice(0, headEnd).split('\r\n')
  const headers = fields.map((field) => {
    const colon = field.indexOf(':')
    return [field.slice(0, colon), field.slice(colon + 1).trim()] as const
  })
  const bodyStart = headEnd + 4
  const length = Number(valuesOf(headers, 'content-length')[0] ?? 0)
  if (valuesOf(headers, 'transfer-encoding').length === 0) {
    const body = text.slice(bodyStart, bodyStart + length)
    return body.length < length ? undefined : { line, headers, body, bytes: bodyStart + length }
  }
  let body = ''
  for (let at = bodyStart; ;) {
    const sizeEnd = text.indexOf('\r\n', at)
    if (sizeEnd === -1) return undefined
    const size = Number.parseInt(text.slice(at, sizeEnd), 16)
    const next = sizeEnd + 2 + size + 2
    if (text.length < next) return undefined
    if (size === 0) return { line, headers, body, bytes: next }
    body += text.slice(sizeEnd + 2, sizeEnd + 2 + size)
    at = next
  }
}

export function valuesOf(
  headers: readonly (readonly [name: string, value: string])[],
  name: string,
): readonly string[] {
  return headers.filter(([candidate]) => candidate.toLowerCase() === name).map(([, value]) => value)
}

/** Every request in `text`, which must consist of complete requests and nothing else. */
export function readRequests(text: string): UpstreamRequest[] {
  const requests: UpstreamRequest[] = []
  for (let at = 0; at < text.length;) {
    const request = readRequest(text.slice(at))
    if (request === undefined) throw new Error(`incomplete request: ${JSON.stringify(text.slice(at))}`)
    requests.push(request)
    at += request.bytes
  }
  return requests
}
