// The server's side of TLS on an accepted socket, without a TLS server of the runtime: the certificate is chosen before.
// Relies on the event 'secure', _releaseControl and secureConnecting of TLSSocket, and on setTicketKeys of what a
// SecureContext holds in `context`.
import type { Socket } from 'node:net'
import { createSecureContext, TLSSocket, type SecureContext } from 'node:tls'

export interface HandshakeOptions {
  readonly context: SecureContext
  /** In the order of our preference; a client that offers others only gets the alert no_application_protocol. */
  readonly protocols: ProtocolList
}

/** Exactly one of the two is called, once. */
export interface HandshakeOutcome {
  /** Errors of the socket are ignored unless it listens for them. */
  readonly onSecure: (socket: TLSSocket) => void
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
  { context, protocols }: HandshakeOptions,
  { onSecure, onFailed }: HandshakeOutcome,
): void {
  const socket = new TLSSocket(raw, { isServer: true, secureContext: context, ALPNProtocols: protocols })
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
    end()
    socket.on('error', ignore)
    // Errors of TLS are events from now on; before, the runtime keeps them to itself.
    call(socket, RELEASE_CONTROL)
    Reflect.set(socket, 'secureConnecting', false)
    onSecure(socket)
  }
  socket.on('secure', secured).on('error', fail).on('close', closed)
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

const TICKET_KEYS_BYTES = 48
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
