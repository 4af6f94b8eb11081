// The runtime's TLS server, which takes accepted connections instead of listening. Does not know the protocol over TLS.
import {
  createServer,
  type SecureContext,
  type SecureContextOptions,
  type Server,
  type TLSSocket,
} from 'node:tls'
import type { Limits } from '@reverse-proxy/shared/config/config'

/** In the order of our preference; HTTP/1.0 is for a client that offers nothing else. */
const PROTOCOLS = ['h2', 'http/1.1', 'http/1.0'] as const

type SniDone = (error: Error | null, context?: SecureContext) => void

export interface TlsServerOptions {
  readonly limits: Pick<Limits, 'tlsHandshakeTimeoutMs'>
  /** 48 bytes. */
  readonly ticketKeys: Uint8Array
  readonly sessionIdContext: string
  readonly tls: SecureContextOptions
  /** The certificate chosen for a connection. */
  readonly contextOf: (socket: TLSSocket) => SecureContext
}

/** Takes connections by `emit('connection', socket)`. */
export function createTlsServer(options: TlsServerOptions): Server {
  const { limits, ticketKeys, sessionIdContext, tls, contextOf } = options
  return createServer({
    ...tls,
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
}
