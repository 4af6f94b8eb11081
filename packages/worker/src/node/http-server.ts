// The runtime's server for HTTP/1.1 and HTTP/2 over TLS, made to take connections instead of listening,
// and its type as it really is: http2's types leave out what it does for HTTP/1.
import type { EventEmitter } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import {
  createSecureServer,
  type ServerHttp2Session,
  type ServerHttp2Stream,
  type Settings,
} from 'node:http2'
import type { Socket } from 'node:net'
import type { SecureContext, SecureContextOptions, TLSSocket } from 'node:tls'
import type { Limits } from '@reverse-proxy/shared/config/config'
import { http1Timeouts, http2Options, runtimeHeaderBytes } from './server-options.ts'

/** For a client that offers nothing else; its requests are read by the same parser as those of HTTP/1.1. */
const HTTP_1_0 = 'http/1.0'
/** The one that we like best comes first. */
const PROTOCOLS = ['h2', 'http/1.1', HTTP_1_0] as const

interface RuntimeServerEvents {
  listening: []
  connection: [socket: Socket]
  secureConnection: [socket: TLSSocket]
  tlsClientError: [error: Error, socket: TLSSocket]
  clientError: [error: Error, socket: Socket]
  request: [req: IncomingMessage, res: ServerResponse]
  checkContinue: [req: IncomingMessage, res: ServerResponse]
  checkExpectation: [req: IncomingMessage, res: ServerResponse]
  upgrade: [req: IncomingMessage, socket: unknown, head: Buffer]
  connect: [req: IncomingMessage, socket: unknown, head: Buffer]
  session: [session: ServerHttp2Session]
  sessionError: [error: Error, session: ServerHttp2Session]
  stream: [stream: ServerHttp2Stream, headers: unknown, flags: number, rawHeaders: string[]]
  error: [error: Error]
}

export interface RuntimeServer extends EventEmitter<RuntimeServerEvents> {
  maxHeaderSize: number
  maxHeadersCount: number
  headersTimeout: number
  keepAliveTimeout: number
  shouldUpgradeCallback: (req: IncomingMessage) => boolean
  closeIdleConnections(): void
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
}

/** Takes connections by `emit('connection', socket)`. */
export function createRuntimeServer(options: RuntimeServerOptions): RuntimeServer {
  const { limits, ticketKeys, sessionIdContext, tls, contextOf } = options
  const http1Options = {
    ...http1Timeouts(limits),
    maxHeaderSize: runtimeHeaderBytes(limits),
    requestTimeout: 0,
    // A missing Host is answered by the pipeline, in our own words.
    requireHostHeader: false,
  }
  const created = createSecureServer({
    ...tls,
    ...http2Options(limits),
    http1Options,
    allowHTTP1: true,
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
  // The runtime takes every protocol but http/1.1 for HTTP/2.
  server.prependListener('secureConnection', (socket) => {
    if (socket.alpnProtocol === HTTP_1_0) socket.alpnProtocol = 'http/1.1'
  })
  // 0: however many there are, we see them all. A limit here would hide what is beyond it.
  server.maxHeadersCount = 0
  // A listener for requests brings http2's compatibility layer with it, which would answer streams, too.
  server.on('request', ignore)
  server.off('request', ignore)
  server.removeAllListeners('stream')
  return server
}

/** Starts the header deadline and the list of idle connections of a server that never listens. */
export function startDeadlines(server: { emit(event: 'listening'): boolean }): void {
  // The runtime starts both when it begins to listen, and by nothing else.
  server.emit('listening')
}

function ignore(): void {}
