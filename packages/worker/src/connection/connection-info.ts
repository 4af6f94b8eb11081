// The facts about a TLS connection before its first byte of HTTP.
import type { Socket } from 'node:net'
import type { SecureContext } from 'node:tls'

/** One certificate, ready to serve. A connection keeps the one it began with. */
export interface SiteContext {
  /** Serial number of the leaf, upper-case hex. */
  readonly serial: string
  readonly secureContext: SecureContext
  /** True if a request for `host` (lower case, no port) may be served with this certificate; else 421. */
  covers(host: string): boolean
}

/** A valid certificate that a client has shown. */
export interface ClientCertificate {
  /** RFC 4514; UTF-8 with a character for each byte. */
  readonly subject: string
  /** SHA-256 of the certificate, lower-case hex. */
  readonly fingerprint: string
}

export interface ConnectionInfo {
  /** The name the client sent, lower case. Node's own `servername` is false on a resumed TLS 1.2 connection. */
  readonly serverName: string
  /** The certificate that this connection is served with, also after newer ones have been installed. */
  readonly context: SiteContext
  /** As it was accepted, below TLS: ending this ends the connection even if nothing can be written any more. */
  readonly socket: Socket
  /** Remembered at accept: a socket that is gone has no remote address any more. */
  readonly clientIp: string
  /** Monotonic. */
  readonly acceptedMs: number
  /** Set by the handshake; unset where none was shown. */
  readonly clientCertificate?: ClientCertificate | undefined
}
