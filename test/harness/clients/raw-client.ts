// A client that sends bytes as they are and keeps what comes back, over TLS or without.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import net from 'node:net'
import tls from 'node:tls'
import type { Lifetime } from '../directory.ts'

export interface RawClient<Socket extends net.Socket = net.Socket> {
  readonly socket: Socket
  /** Everything so far, one character for each byte. */
  readonly received: () => string
  readonly send: (bytes: string) => void
  /** Ends the connection with RST. */
  readonly reset: () => void
  /** The next complete response: what has been read of it is taken off what the one after it is looked for in. */
  readonly response: (options?: { readonly toHead?: boolean }) => Promise<RawResponse>
  /** Resolves when `holds` is true of what has been received since the last response. */
  readonly until: (holds: (text: string) => boolean) => Promise<string>
  /** Resolves when the server has closed. */
  readonly closed: () => Promise<void>
}

interface RawResponse {
  readonly status: number
  readonly head: string
  readonly body: string
  readonly trailers: string
}

export interface RawClientOptions {
  readonly serverName?: string
  readonly alpn?: readonly string[]
  /** PEM roots; without them any certificate is accepted. */
  readonly ca?: string
  /** Sent before TLS, as a load balancer does. */
  readonly proxyHeader?: Buffer | string
}

/** @param t ends the connection when it is over */
export async function connectRaw(
  t: Lifetime,
  port: number,
  { serverName = 'a.example', alpn = [], ca, proxyHeader }: RawClientOptions = {},
): Promise<RawClient<tls.TLSSocket>> {
  const raw = net.connect({ port, host: '127.0.0.1' })
  if (proxyHeader !== undefined) raw.write(proxyHeader)
  const socket = tls.connect({
    socket: raw,
    servername: serverName,
    ALPNProtocols: [...alpn],
    ...(ca === undefined ? { rejectUnauthorized: false } : { ca }),
  })
  const client = keep(t, socket, raw)
  await once(socket, 'secureConnect')
  return client
}

export async function connectPlain(t: Lifetime, port: number): Promise<RawClient> {
  const socket = net.connect({ port, host: '127.0.0.1' })
  const client = keep(t, socket, socket)
  await once(socket, 'connect')
  return client
}

/** @param raw what `socket` is made of */
function keep<Socket extends net.Socket>(t: Lifetime, socket: Socket, raw: net.Socket): RawClient<Socket> {
  let received = ''
  let consumed = 0
  let onChange: (() => void) | undefined
  const change = async (): Promise<void> => await new Promise((resolve) => (onChange = resolve))
  socket.on('data', (chunk) => {
    received += chunk.toString('latin1')
    onChange?.()
  })
  socket.on('error', () => {})
  socket.on('close', () => {
    onChange?.()
  })
  t.after(() => void socket.destroy())
  const until = async (holds: (text: string) => boolean): Promise<string> => {
    while (!holds(received.slice(consumed))) {
      assert.ok(!socket.closed, `closed after ${JSON.stringify(received.slice(consumed))}`)
      await change()
    }
    return received.slice(consumed)
  }
  return {
    socket,
    received: () => received,
    send: (bytes) => void socket.write(bytes, 'latin1'),
    reset: () => void raw.resetAndDestroy(),
    until,
    async response({ toHead = false } = {}) {
      const text = await until((all) => parseResponse(all, toHead) !== undefined)
      const parsed = parseResponse(text, toHead)
      assert.ok(parsed !== undefined)
      consumed += parsed.bytes
      return parsed
    },
    async closed() {
      while (!socket.closed) await change()
    },
  }
}

/** A response with a length, in chunks, or without a body; undefined while it is not complete. */
function parseResponse(text: string, toHead = false): (RawResponse & { bytes: number }) | undefined {
  const headEnd = text.indexOf('\r\n\r\n')
  if (headEnd === -1) return undefined
  const head = text.slice(0, headEnd)
  const status = Number(head.slice(9, 12))
  const start = headEnd + 4
  if (toHead || status === 204 || status === 304 || status < 200) {
    return { status, head, body: '', trailers: '', bytes: start }
  }
  const length = /^content-length: (\d+)\r?$/im.exec(head)?.[1]
  if (length !== undefined) {
    const body = text.slice(start, start + Number(length))
    const bytes = start + Number(length)
    return text.length < bytes ? undefined : { status, head, body, trailers: '', bytes }
  }
  let body = ''
  for (let at = start; ;) {
    const sizeEnd = text.indexOf('\r\n', at)
    if (sizeEnd === -1) return undefined
    const size = Number.parseInt(text.slice(at, sizeEnd), 16)
    if (size === 0) {
      const trailersEnd = text.startsWith('\r\n', sizeEnd + 2) ? sizeEnd + 2 : text.indexOf('\r\n\r\n', at)
      if (trailersEnd === -1) return undefined
      const trailers = text.slice(sizeEnd + 2, trailersEnd)
      return { status, head, body, trailers, bytes: trailersEnd + (trailers === '' ? 2 : 4) }
    }
    if (text.length < sizeEnd + 2 + size + 2) return undefined
    body += text.slice(sizeEnd + 2, sizeEnd + 2 + size)
    at = sizeEnd + 2 + size + 2
  }
}
