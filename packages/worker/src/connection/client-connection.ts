// State that the exchanges on one client connection share.
import type { Socket } from 'node:net'
import { clientKey } from '@reverse-proxy/shared/client-key'
import type { SiteContext } from '../connection/connection-info.ts'
import { destroyAfter, isLingering } from './lingering-close.ts'
import type { ConnectionInfo } from './connection-info.ts'
import type { ClientConnections } from './client-connections.ts'
import { ReadPause } from '../node/http1-read-pause.ts'

/** How long a client may take to let its connection go once it has been answered. */
const CLOSE_TIMEOUT_MS = 10_000

/** Pipelined requests read ahead: about as many as an HTTP/2 client may have open. */
const MAX_PIPELINED = 100
/** Behind so much that waits nothing more is read. Before, it is: only who reads hears that the client has gone. */
const READ_AHEAD_BYTES = 64 * 1024

/** Whom limits, access rules and logs are about. */
export interface Client {
  /** IPv4, or IPv6 without brackets. */
  readonly ip: string
  /** The address that limits count by: IPv4, or the /64 of IPv6. */
  readonly key: string
  readonly scheme: 'http' | 'https'
  /** What a trusted proxy has said. Unset: the client is the peer of the connection. */
  readonly forwarded?: {
    /** X-Forwarded-For for the upstream: the chain that came, and the proxy itself. */
    readonly for: string
    /** X-Forwarded-Host that came. */
    readonly host: string | undefined
  }
}

export interface ClientConnection {
  readonly client: Client
  /** It closes when the connection does. */
  readonly socket: Socket
  /** Undefined where there is no TLS. */
  readonly certificate: Pick<SiteContext, 'covers'> | undefined
}

/** An exchange as its connection sees it. */
interface Http1Peer {
  readonly isRequestComplete: boolean
  onConnectionClosed(): void
  onDrained(): void
  onUnreadable(): void
}

/**
 * An HTTP/1 connection: one exchange at a time, in the order of the requests (RFC 9112 9.3.2 lets only
 * safe ones overlap, and it would be for one client to take all upstream connections). It may have to
 * end with one of them.
 */
export class Http1Connection implements ClientConnection {
  readonly client: Client
  readonly certificate: Pick<SiteContext, 'covers'> | undefined
  readonly socket: Socket
  /** The open exchange is the last: what has been read behind it is no request any more. */
  isClosing = false
  /**
   * A request has asked for an upgrade that it does not get. What the runtime has read beyond such a
   * request is dropped by it, so that the next one might be taken to begin anywhere.
   */
  mustCloseAfterRequest = false
  readonly #all: Pick<ClientConnections, 'isDraining'>
  readonly #reading: ReadPause
  #open: Http1Peer | undefined
  readonly #waiting: (() => void)[] = []
  /** How many had been read when the first of those came. */
  #waitingFromBytes = 0
  /** No further byte becomes a request. */
  #hasReadLast = false
  #hasDropped = false
  #isUnreadable = false
  #requests = 0

  constructor(
    socket: Socket,
    client: { readonly clientIp: string; readonly context?: Pick<SiteContext, 'covers'> },
    all: Pick<ClientConnections, 'isDraining'>,
  ) {
    this.socket = socket
    this.client = clientOf(client.clientIp, client.context === undefined ? 'http' : 'https')
    this.certificate = client.context
    this.#all = all
    this.#reading = new ReadPause(socket)
    socket.once('close', () => this.#closed())
  }

  get hasOpenExchange(): boolean {
    return this.#open !== undefined
  }

  /** The client has sent requests that nobody is going to read, and may send more. */
  get isSentTooMuch(): boolean {
    return this.#hasDropped || (this.isClosing && this.#waiting.length > 0)
  }

  /** The bytes after the newest request cannot be parsed, nor the rest of that request. */
  get isUnreadable(): boolean {
    return this.#isUnreadable
  }

  /** A request that has been read may begin at once. */
  get isFree(): boolean {
    return this.#open === undefined && !this.isClosing
  }

  /** Calls `begin` when all requests before this one have been answered, unless the connection ends first. */
  enqueue(begin: () => void): void {
    const { bytesRead } = this.socket
    if (this.#waiting.length === 0) this.#waitingFromBytes = bytesRead
    const isDropped = this.isClosing || this.#hasReadLast
    if (isDropped || bytesRead - this.#waitingFromBytes >= READ_AHEAD_BYTES) this.#reading.hold()
    if (isDropped) {
      this.#hasDropped = true
      return
    }
    this.#waiting.push(begin)
    if (this.mustCloseAfterRequest || this.#waiting.length + 1 >= MAX_PIPELINED) this.#hasReadLast = true
  }

  /** @param requestsPerConnection as it is now */
  began(exchange: Http1Peer, requestsPerConnection: number): void {
    this.#open = exchange
    this.#requests += 1
    const isLastRead = this.#waiting.length === 0 && (this.#hasReadLast || this.mustCloseAfterRequest)
    if (isLastRead || this.#requests >= requestsPerConnection) this.isClosing = true
  }

  ended(): void {
    this.#open = undefined
    const begin = this.isClosing ? undefined : this.#waiting.shift()
    if (begin !== undefined) {
      if (this.#waiting.length === 0) this.#reading.letGo()
      begin()
    } else if (this.isClosing || this.#hasReadLast) {
      this.#close()
    }
  }

  /** Whether the answer that is about to begin should be the connection's last: not while others wait behind it. */
  isLast(): boolean {
    if (this.#all.isDraining) this.#hasReadLast = true
    return this.isClosing || (this.#hasReadLast && this.#waiting.length === 0)
  }

  /** The client sends no valid HTTP. Owed responses are still sent, then the connection ends. */
  unreadable(): void {
    this.#isUnreadable = true
    this.#hasReadLast = true
    if (this.#waiting.length > 0) return
    this.isClosing = true
    // If that is complete, it is what came after it that cannot be read.
    if (this.#open?.isRequestComplete === false) this.#open.onUnreadable()
  }

  /**
   * A head has taken longer than `timeoutMs`, but perhaps for our not reading it: whether so. Then `again`
   * is called if it has not come when it was read for that long; the runtime looks at each but once.
   */
  excusesHead(timeoutMs: number, again: () => void): boolean {
    const headsRead = this.#headsRead
    return this.#reading.excuses(timeoutMs, () => {
      if (this.#headsRead === headsRead) again()
    })
  }

  /** The runtime is about to give the socket to a handshake. */
  givingAway(): void {
    this.#reading.givingAway()
  }

  /** The runtime has done with the socket, also for an answer that has not left yet. */
  givenAway(): void {
    this.#reading.givenAway()
    // An early reset must find this one.
    this.socket.on('error', ignore)
    this.socket.on('drain', () => this.#open?.onDrained())
  }

  get #headsRead(): number {
    return this.#requests + this.#waiting.length
  }

  #close(): void {
    const { socket } = this
    this.isClosing = true
    this.#waiting.length = 0
    if (socket.destroyed) return
    socket.destroySoon()
    if (isLingering(socket)) return
    // The farewell of TLS waits for a client to read; all else is with the kernel.
    destroyAfter(socket, CLOSE_TIMEOUT_MS)
  }

  #closed(): void {
    this.isClosing = true
    this.#waiting.length = 0
    this.#open?.onConnectionClosed()
  }
}

/** An HTTP/2 connection. Its streams end with it by themselves. */
export class Http2Connection implements ClientConnection {
  readonly client: Client
  readonly certificate: Pick<SiteContext, 'covers'>
  readonly socket: Socket
  /** Stream ID of the newest request. */
  lastStreamId = 0
  /** It has had as many requests as it may have, and has been told. */
  isRetired = false
  /** When the session was last seen to send; limits/http2-sessions.ts looks. */
  lastWroteMs = 0
  #requests = 0
  #open = 0
  #bodies = 0
  #openBodies = 0

  constructor(client: Pick<ConnectionInfo, 'clientIp' | 'context' | 'socket'>) {
    this.socket = client.socket
    this.client = clientOf(client.clientIp, 'https')
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

function clientOf(ip: string, scheme: Client['scheme']): Client {
  return { ip, key: clientKey(ip), scheme }
}

function ignore(): void {}
