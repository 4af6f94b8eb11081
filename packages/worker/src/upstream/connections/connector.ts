// Opens connections to one upstream address: TCP, or TLS verified against the name of the upstream. An error says which
// step has failed. Upstreams share no connection and no TLS session.
import { connect as connectTcp, isIP, type OnReadOpts, type Socket } from 'node:net'
import { connect as connectTls, type SecureContext } from 'node:tls'
import { ProxyError } from '@reverse-proxy/shared/errors'
import type { NameResolver } from '@reverse-proxy/shared/names/name-resolver'
import type { UpstreamTrust } from './trust.ts'

export interface UpstreamAddress {
  readonly scheme: 'http' | 'https'
  /** Name or address, IPv6 without brackets. */
  readonly host: string
  readonly port: number
  /** PEM of one more root to trust. */
  readonly caPem: string | undefined
}

export type Connected = (...outcome: [error: null, socket: Socket] | [error: Error, socket: null]) => void

const KEEP_ALIVE_PROBE_MS = 60_000
/** One buffer for all connections: its bytes are consumed before the next read. A new one for each would cost more. */
const READ_BUFFER = Buffer.allocUnsafeSlow(65_536)

/** `127.0.0.1:3000`, `[::1]:3000`: as people write it. */
export function upstreamLabel({ host, port }: UpstreamAddress): string {
  return `${isIP(host) === 6 ? `[${host}]` : host}:${port}`
}

export class UpstreamConnector {
  readonly #address: UpstreamAddress
  readonly #trust: UpstreamTrust
  readonly #names: Pick<NameResolver, 'lookup'>
  #session: Buffer | undefined
  /** Kept with the roots of that time, because a resumed session is not verified again. */
  #sessionContext: SecureContext | undefined

  constructor(address: UpstreamAddress, trust: UpstreamTrust, names: Pick<NameResolver, 'lookup'>) {
    this.#address = address
    this.#trust = trust
    this.#names = names
  }

  /**
   * Calls back once, with a socket that is ready for HTTP/1.1 or with a ProxyError UPSTREAM_CONNECT,
   * UPSTREAM_TLS, UPSTREAM_CONNECT_TIMEOUT or UPSTREAM_NAME_TIMEOUT. `timeoutMs` is for all steps together.
   * @param onBytes called with the bytes of each read instead of 'data' listeners; the next read overwrites them
   */
  connect(timeoutMs: number, callback: Connected, onBytes?: (chunk: Buffer) => void): void {
    let isDone = false
    let isReached = false
    let isResolved = isIP(this.#address.host) !== 0
    const socket = this.#open(onBytes && readingInto(onBytes))
    const done = (error: Error | null): void => {
      if (isDone) return
      isDone = true
      clearTimeout(timer)
      socket.off('error', onError)
      if (error === null) {
        callback(null, socket)
        return
      }
      socket.on('error', ignore)
      socket.destroy()
      callback(error, null)
    }
    const onError = (cause: Error): void => {
      done(
        isReached
          ? new ProxyError('UPSTREAM_TLS', 'no TLS with the upstream', { cause })
          : new ProxyError('UPSTREAM_CONNECT', 'no connection to the upstream', { cause }),
      )
    }
    const timer = setTimeout(() => {
      done(
        isResolved
          ? new ProxyError('UPSTREAM_CONNECT_TIMEOUT', 'the upstream did not accept in time')
          : new ProxyError('UPSTREAM_NAME_TIMEOUT', 'the name of the upstream was not resolved in time'),
      )
    }, timeoutMs)
    socket.on('error', onError)
    if (!isResolved) {
      socket.once('lookup', () => {
        isResolved = true
      })
    }
    socket.once('connect', () => {
      isReached = true
    })
    socket.once(this.#address.scheme === 'https' ? 'secureConnect' : 'connect', () => done(null))
  }

  #open(onread: OnReadOpts | undefined): Socket {
    const { scheme, host, port, caPem } = this.#address
    const options = {
      host,
      port,
      lookup: this.#names.lookup,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: KEEP_ALIVE_PROBE_MS,
      ...(onread && { onread }),
    }
    if (scheme === 'http') return connectTcp(options)
    const secureContext = this.#trust.contextFor(caPem)
    const session = secureContext === this.#sessionContext ? this.#session : undefined
    const socket = connectTls({
      ...options,
      // RFC 6066 3: an address is not sent as server name; it is verified against the addresses of the certificate.
      ...(isIP(host) === 0 ? { servername: host } : {}),
      secureContext,
      ALPNProtocols: ['http/1.1'],
      ...(session === undefined ? {} : { session }),
    })
    socket.on('session', (newest) => {
      this.#session = newest
      this.#sessionContext = secureContext
    })
    return socket
  }
}

function readingInto(onBytes: (chunk: Buffer) => void): OnReadOpts {
  return {
    buffer: READ_BUFFER,
    callback: (bytes) => {
      onBytes(READ_BUFFER.subarray(0, bytes))
      return true
    },
  }
}

function ignore(): void {}
