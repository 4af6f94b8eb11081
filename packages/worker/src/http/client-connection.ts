// What the exchanges on one client connection share.
import type { Socket } from 'node:net'
import { clientKey } from '@reverse-proxy/shared/client-key'
import type { SiteContext } from '../tls/contexts.ts'
import { destroyAfter } from '../tls/farewell.ts'
import type { Peeked } from '../tls/peeked.ts'
import type { ClientConnections } from './client-connections.ts'

/** How long a client may take to let its connection go once it has been answered. */
const CLOSE_TIMEOUT_MS = 10_000

/** The runtime reads a pipeline ahead, and we answer it at once: about as much as an HTTP/2 client may ask at a time. */
const MAX_PIPELINED = 100

export interface ClientConnection {
  readonly clientIp: string
  /** Of clientIp, as shared/client-key spells it: what limits are about. */
  readonly clientKey: string
  /** Undefined where there is no TLS. */
  readonly certificate: Pick<SiteContext, 'covers'> | undefined
}

/** An exchange as its connection sees it. */
interface Http1Party {
  readonly isRequestComplete: boolean
  onConnectionClosed(): void
  onUnreadable(): void
}

/** An HTTP/1 connection: its exchanges end with it, and it may have to end with one of them. */
export class Http1Connection implements ClientConnection {
  readonly clientIp: string
  readonly clientKey: string
  readonly certificate: Pick<SiteContext, 'covers'> | undefined
  readonly socket: Socket
  /** Nothing that comes after the newest request is read any more. */
  isClosing = false
  /**
   * A request has asked for an upgrade that it does not get. What the runtime has read beyond such a
   * request is dropped by it, so that the next one might be taken to begin anywhere.
   */
  isLosingBytes = false
  readonly #all: Pick<ClientConnections, 'isDraining'>
  readonly #open = new Set<Http1Party>()
  #newest: Http1Party | undefined
  #requests = 0

  constructor(
    socket: Socket,
    client: { readonly clientIp: string; readonly context?: Pick<SiteContext, 'covers'> },
    all: Pick<ClientConnections, 'isDraining'>,
  ) {
    this.socket = socket
    this.clientIp = client.clientIp
    this.clientKey = clientKey(client.clientIp)
    this.certificate = client.context
    this.#all = all
    socket.once('close', () => this.#closed())
  }

  get hasOpenExchange(): boolean {
    return this.#open.size > 0
  }

  /** @param requestsPerConnection as it is now: of a pipeline, what is beyond it (or MAX_PIPELINED) is not read */
  began(exchange: Http1Party, requestsPerConnection: number): void {
    this.#requests += 1
    this.#newest = exchange
    this.#open.add(exchange)
    if (this.#requests >= requestsPerConnection || this.#open.size >= MAX_PIPELINED) this.isClosing = true
  }

  ended(exchange: Http1Party): void {
    this.#open.delete(exchange)
    if (!this.isClosing || this.#open.size > 0) return
    this.socket.destroySoon()
    // The farewell of TLS waits for a client to read; all else is with the kernel.
    destroyAfter(this.socket, CLOSE_TIMEOUT_MS)
  }

  /** Whether the answer to `exchange` should be the connection's last: not while others wait behind it. */
  isLast(exchange: Http1Party): boolean {
    return exchange === this.#newest && (this.isClosing || this.#all.isDraining)
  }

  /** What the client sends is no HTTP. Answers that are owed are still given, and then the connection ends. */
  unreadable(): void {
    this.isClosing = true
    // If that is complete, it is what came after it that cannot be read.
    if (this.hasOpenExchange && this.#newest?.isRequestComplete === false) this.#newest.onUnreadable()
  }

  #closed(): void {
    for (const exchange of this.#open) exchange.onConnectionClosed()
    this.#open.clear()
  }
}

/** An HTTP/2 connection. Its streams end with it by themselves. */
export class Http2Connection implements ClientConnection {
  readonly clientIp: string
  readonly clientKey: string
  readonly certificate: Pick<SiteContext, 'covers'>
  readonly socket: Socket
  /** Of the newest request. */
  lastStreamId = 0
  /** When the session was last seen to send; limits/http2-sessions.ts looks. */
  lastWroteMs = 0
  #requests = 0
  #open = 0
  #bodies = 0
  #openBodies = 0

  constructor(client: Pick<Peeked, 'clientIp' | 'context' | 'socket'>) {
    this.socket = client.socket
    this.clientIp = client.clientIp
    this.clientKey = clientKey(client.clientIp)
    this.certificate = client.context
  }

  get requests(): number {
    return this.#requests
  }

  get hasOpenExchange(): boolean {
    return this.#open > 0
  }

  /** Requests with a body, so far. */
  get bodies(): number {
    return this.#bodies
  }

  get openBodies(): number {
    return this.#openBodies
  }

  began(streamId: number, hasBody: boolean): void {
    this.lastStreamId = streamId
    this.#requests += 1
    this.#open += 1
    if (!hasBody) return
    this.#bodies += 1
    this.#openBodies += 1
  }

  ended(hadBody: boolean): void {
    this.#open -= 1
    if (hadBody) this.#openBodies -= 1
  }
}
