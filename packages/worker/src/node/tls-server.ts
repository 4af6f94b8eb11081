// The server's side of TLS on an accepted socket, without a TLS server of the runtime: the certificate is chosen before.
// Relies on the event 'secure', _releaseControl and secureConnecting of TLSSocket, on verifyError of its handle, and on
// setTicketKeys of what a SecureContext holds in `context`.
import type { X509Certificate } from 'node:crypto'
import type { Socket } from 'node:net'
import { codeOf } from '@reverse-proxy/shared/error-text'
import { createSecureContext, TLSSocket, type SecureContext } from 'node:tls'

export interface HandshakeOptions {
  readonly context: SecureContext
  /** In the order of our preference; a client that offers others only gets the alert no_application_protocol. */
  readonly protocols: ProtocolList
  /** Unset: the client is not asked for a certificate. The roots are those of the context. */
  readonly clientAuth?: ClientAuth | undefined
}

/** `require`: without a certificate the handshake fails. One that is shown has to be valid either way. */
export type ClientAuth = 'require' | 'request'

/** Exactly one of the two is called, once. */
export interface HandshakeOutcome {
  /** Errors of the socket are ignored unless it listens for them. */
  readonly onSecure: (socket: TLSSocket, clientCertificate: X509Certificate | undefined) => void
  /** The connection is being destroyed. An alert has been sent if there is one for the error. */
  readonly onFailed: (error: Error) => void
}

/** ALPN names in wire format (RFC 7301 3.1). */
export type ProtocolList = DataView

/** @param names 1 to 255 ASCII characters each */
export function protocolList(names: readonly string[]): ProtocolList {
  const wire = Uint8Array.from(
    names.flatMap((name) => [name.length, ...Array.from(name, (character) => character.charCodeAt(0))]),
  )
  // The runtime copies a Uint8Array into its pool, and each open connection would keep 64 KB of that alive.
  return new DataView(wire.buffer)
}

/**
 * Begins the handshake in the next tick, with the bytes that have been put back into `raw`. Sets no deadline. The TLS
 * socket and `raw` close with each other.
 */
export function startHandshake(
  raw: Socket,
  { context, protocols, clientAuth }: HandshakeOptions,
  { onSecure, onFailed }: HandshakeOutcome,
): void {
  const socket = new TLSSocket(raw, {
    isServer: true,
    secureContext: context,
    ALPNProtocols: protocols,
    requestCert: clientAuth !== undefined,
    rejectUnauthorized: clientAuth === 'require',
  })
  const end = (): void => void socket.off('secure', secured).off('error', fail).off('close', closed)
  const fail = (error: Error): void => {
    end()
    socket.on('error', ignore)
    onFailed(error)
    socket.destroy()
  }
  const closed = (): void => fail(Object.assign(new Error('socket hang up'), { code: 'ECONNRESET' }))
  const secured = (): void => {
    if (socket.destroyed) return
    let shown: X509Certificate | undefined
    try {
      if (clientAuth !== undefined) shown = validCertificateOf(socket, clientAuth)
    } catch (error) {
      fail(error instanceof Error ? error : new Error(String(error)))
      return
    }
    end()
    socket.on('error', ignore)
    // Errors of TLS are events from now on; before, the runtime keeps them to itself.
    call(socket, RELEASE_CONTROL)
    Reflect.set(socket, 'secureConnecting', false)
    onSecure(socket, shown)
  }
  socket.on('secure', secured).on('error', fail).on('close', closed)
}

/**
 * The certificate that the client has shown. The runtime verifies it, but leaves the decision to us.
 * @throws Error if it is not valid, or missing and required
 */
function validCertificateOf(socket: TLSSocket, clientAuth: ClientAuth): X509Certificate | undefined {
  const shown = socket.getPeerX509Certificate()
  if (shown === undefined) {
    if (clientAuth === 'require') throw new Error(`${CLIENT_CERTIFICATE}: none`)
    return undefined
  }
  const handle: unknown = Reflect.get(socket, '_handle')
  if (typeof handle !== 'object' || handle === null) throw new Error(`${CLIENT_CERTIFICATE}: not verified`)
  const fault: unknown = Reflect.apply(methodOf(handle, VERIFY_ERROR), handle, [])
  if (fault !== null && fault !== undefined)
    throw new Error(`${CLIENT_CERTIFICATE}: ${codeOf(fault) ?? 'not valid'}`)
  return shown
}

/**
 * Tickets that were encrypted with other keys lead to full handshakes.
 * @param ticketKeys 48 bytes
 * @throws RangeError if there are more or fewer, which would end the process
 */
export function setTicketKeys(context: SecureContext, ticketKeys: Uint8Array): void {
  if (ticketKeys.byteLength !== TICKET_KEYS_BYTES) throw new RangeError('ticket keys must have 48 bytes')
  call(context.context, SET_TICKET_KEYS, Buffer.from(ticketKeys))
}

/** @throws Error if this version of the runtime lacks what this file relies on; call it before the first connection */
export function checkTlsInternals(): void {
  methodOf(TLSSocket.prototype, RELEASE_CONTROL)
  methodOf(createSecureContext().context, SET_TICKET_KEYS)
}

/** How the messages of errors about it begin. */
export const CLIENT_CERTIFICATE = 'client certificate'
const TICKET_KEYS_BYTES = 48
const VERIFY_ERROR = 'verifyError'
const RELEASE_CONTROL = '_releaseControl'
const SET_TICKET_KEYS = 'setTicketKeys'

function call(owner: object, name: string, ...args: readonly unknown[]): void {
  Reflect.apply(methodOf(owner, name), owner, args)
}

function methodOf(owner: object, name: string): Function {
  const found: unknown = Reflect.get(owner, name)
  if (typeof found === 'function') return found
  throw new Error(`Node.js ${process.version} has no ${name} for TLS: run the version that package.json pins`)
}

function ignore(): void {}
