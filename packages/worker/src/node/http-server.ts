// The runtime's server for TLS and HTTP/2, made to take connections instead of listening. What its clients speak over
// TLS, if it is not HTTP/2, is not its business.
import type { EventEmitter } from 'node:events'
import {
  createSecureServer,
  type ServerHttp2Session,
  type ServerHttp2Stream,
  type Settings,
} from 'node:http2'
import type { Socket } from 'node:net'
import type { SecureContext, SecureContextOptions, TLSSocket } from 'node:tls'
import type { Limits } from '@reverse-proxy/shared/config/config'
import { http2Options } from './server-options.ts'

/** For a client that offers nothing else; it is spoken to as one of HTTP/1.1. */
const HTTP_1_0 = 'http/1.0'
/** The one that we like best comes first. */
const PROTOCOLS = ['h2', 'http/1.1', HTTP_1_0] as const

interface RuntimeServerEvents {
  connection: [socket: Socket]
  secureConnection: [socket: TLSSocket]
  tlsClientError: [error: Error, socket: TLSSocket]
  request: []
  session: [session: ServerHttp2Session]
  sessionError: [error: Error, session: ServerHttp2Session]
  stream: [stream: ServerHttp2Stream, headers: unknown, flags: number, rawHeaders: string[]]
  error: [error: Error]
}

export interface RuntimeServer extends EventEmitter<RuntimeServerEvents> {
  setTicketKeys(keys: Buffer): void
  updateSettings(settings: Settings): void
}

type SniDone = (error: Error | null, context?: SecureContext) => void

export interface RuntimeServerOptions {
  readonly limits: Limits
  /** 48 bytes. */
  readonly ticketKeys: Uint8Array
  readonly sessionIdContext: string
  readonly tls: SecureContextOptions
  /** The certificate chosen for a connection. */
  readonly contextOf: (socket: TLSSocket) => SecureContext
  /** Takes over a connection whose client does not speak HTTP/2. */
  readonly onHttp1: (socket: TLSSocket) => void
}

/** Takes connections by `emit('connection', socket)`. */
export function createRuntimeServer(options: RuntimeServerOptions): RuntimeServer {
  const { limits, ticketKeys, sessionIdContext, tls, contextOf, onHttp1 } = options
  const created = createSecureServer({
    ...tls,
    ...http2Options(limits),
    ALPNCallback: ({ protocols }) => PROTOCOLS.find((protocol) => protocols.includes(protocol)),
    sessionIdContext,
    ticketKeys: Buffer.from(ticketKeys),
    handshakeTimeout: limits.tlsHandshakeTimeoutMs,
    // A throw in here would end the process.
    SNICallback(this: TLSSocket, _name: string, callback: SniDone) {
      try {
        callback(null, contextOf(this))
      } catch (error) {
        callback(error instanceof Error ? error : new Error(String(error)))
      }
    },
  })
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- see the head of this file
  const server = created as unknown as RuntimeServer
  const serveHttp2 = server.listeners('secureConnection')
  server.removeAllListeners('secureConnection')
  server.on('secureConnection', (socket) => {
    if (socket.alpnProtocol !== 'h2') onHttp1(socket)
    else for (const serve of serveHttp2) Reflect.apply(serve, server, [socket])
  })
  // A listener for requests brings http2's compatibility layer with it, which would answer streams, too.
  server.on('request', ignore)
  server.off('request', ignore)
  server.removeAllListeners('stream')
  return server
}

function ignore(): void {}
