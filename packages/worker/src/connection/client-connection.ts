// State that the exchanges on one client connection share.
import type { Socket } from 'node:net'
import { clientKey } from '@reverse-proxy/shared/client-key'
import type { SiteContext } from '../connection/connection-info.ts'
import type { ClientCertificate, ConnectionInfo } from './connection-info.ts'

/** The client that limits, access rules and logs apply to. */
export interface Client {
  /** IPv4, or IPv6 without brackets. */
  readonly ip: string
  /** The address that limits count by: IPv4, or the /64 of IPv6. */
  readonly key: string
  readonly scheme: 'http' | 'https'
  /** The values that a trusted proxy has sent. Unset: the client is the peer of the connection. */
  readonly forwarded?: {
    /** X-Forwarded-For for the upstream: the received chain and the proxy itself. */
    readonly for: string
    /** X-Forwarded-Host that came. */
    readonly host: string | undefined
    /** X-Request-Id that came; undefined if it cannot be used. */
    readonly requestId: string | undefined
  }
}

export interface ClientConnection {
  readonly client: Client
  /** Closes with the connection. */
  readonly socket: Socket
  /** Undefined where there is no TLS. */
  readonly certificate: Pick<SiteContext, 'covers'> | undefined
  /** Undefined: the client has shown none. */
  readonly clientCertificate: ClientCertificate | undefined
}

/** An HTTP/2 connection. Its streams end with it by themselves. */
export class Http2Connection implements ClientConnection {
  readonly client: Client
  readonly certificate: Pick<SiteContext, 'covers'>
  readonly clientCertificate: ClientCertificate | undefined
  /** Below TLS. */
  readonly socket: Socket
  /** When it last sent something. */
  lastWroteMs = 0

  constructor(client: Pick<ConnectionInfo, 'clientIp' | 'context' | 'socket' | 'clientCertificate'>) {
    this.socket = client.socket
    this.client = clientOf(client.clientIp, 'https')
    this.certificate = client.context
    this.clientCertificate = client.clientCertificate
  }
}

export function clientOf(ip: string, scheme: Client['scheme']): Client {
  return { ip, key: clientKey(ip), scheme }
}
