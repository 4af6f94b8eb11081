// One TLS handshake and what it showed of the server.
import { once } from 'node:events'
import tls from 'node:tls'
import { PiecewiseSocket } from './piecewise-socket.ts'

export interface HandshakeOptions {
  readonly port: number
  readonly host?: string
  /** The SNI; undefined sends none. */
  readonly serverName?: string | undefined
  readonly alpn?: readonly string[] | undefined
  readonly maxVersion?: tls.SecureVersion
  /** The ClientHello goes out in pieces of so many bytes. */
  readonly pieceBytes?: number
  /** PEM roots; without them any certificate is accepted. */
  readonly ca?: string
}

export type Handshake =
  | {
      readonly result: 'connected'
      /** Names of the certificate shown. */
      readonly subjectAltName: string
      readonly serial: string
      readonly alpn: string | false
      /** DER of the certificate's acmeIdentifier extension is inside: it answers a challenge. */
      readonly isChallenge: boolean
    }
  | { readonly result: 'failed'; readonly code: string }

/** A server that says nothing is an outcome too: the code is then ABORT_ERR. */
const HANDSHAKE_TIMEOUT_MS = 10_000

/** id-pe-acmeIdentifier, 1.3.6.1.5.5.7.1.31 (RFC 8737 3), as it stands in DER. */
const ACME_IDENTIFIER = Buffer.from('06082b0601050507011f', 'hex')

/** One handshake and what it showed; the connection is closed at once. */
export async function handshake(options: HandshakeOptions): Promise<Handshake> {
  const socket = openTls(options)
  try {
    await once(socket, 'secureConnect', { signal: AbortSignal.timeout(HANDSHAKE_TIMEOUT_MS) })
    const certificate = socket.getPeerX509Certificate()
    if (certificate === undefined) return { result: 'failed', code: 'no certificate' }
    return {
      result: 'connected',
      subjectAltName: certificate.subjectAltName ?? '',
      serial: certificate.serialNumber,
      alpn: socket.alpnProtocol ?? false,
      isChallenge: certificate.raw.includes(ACME_IDENTIFIER),
    }
  } catch (error) {
    return { result: 'failed', code: codeOf(error) }
  } finally {
    socket.on('error', () => {})
    socket.destroy()
  }
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : String(error)
}

function openTls({
  port,
  host = '127.0.0.1',
  serverName,
  alpn,
  maxVersion,
  pieceBytes,
  ca,
}: HandshakeOptions): tls.TLSSocket {
  const pieces = pieceBytes === undefined ? undefined : new PiecewiseSocket({ port, host }, pieceBytes)
  const socket = tls.connect({
    ...(pieces === undefined ? { port, host } : { socket: pieces }),
    ...(serverName === undefined ? {} : { servername: serverName }),
    ...(alpn === undefined ? {} : { ALPNProtocols: [...alpn] }),
    ...(maxVersion === undefined ? {} : { maxVersion }),
    ...(ca === undefined ? { rejectUnauthorized: false } : { ca }),
  })
  // TLS ends what it was put upon politely, which a server that waits for the end would wait for in vain.
  socket.once('close', () => pieces?.destroy())
  return socket
}
