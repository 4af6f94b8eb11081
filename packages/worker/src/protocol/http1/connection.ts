// An HTTP/1 connection. Its exchanges are open one at a time and in order: RFC 9112 9.3.2 allows only safe requests to
// overlap, and one client could then take all upstream connections. Reads one head, and then bytes up to a bound, ahead
// of the open exchange. Closes after an exchange that has to be its last.
import type { Socket } from 'node:net'
import type { ClientCertificate, SiteContext } from '../../connection/connection-info.ts'
import { clientOf, type Client } from '../../connection/client-connection.ts'
import { closeLingering, destroyAfter, destroyWhenSent, LINGER_MS } from '../../connection/lingering-close.ts'
import { OutBuffer } from '../../io/out-buffer.ts'
import { readShared, stopReadingShared } from '../../node/shared-reads.ts'
import { rawErrorResponse } from '../error-response.ts'
import { UpgradeExchange } from './upgrade-exchange.ts'
import { BodyDecoder } from './body-decoder.ts'
import { Http1Exchange, type ExchangeCarrier } from './exchange.ts'
import { Http1Fault } from './fault.ts'
import { HeadReader } from './head-reader.ts'
import type { Http1Host } from './host.ts'
import { ReadAhead } from './read-ahead.ts'
import type { Http1RequestHead } from './request-head.ts'

/** How long a client may take to close its connection after the last response. */
const CLOSE_TIMEOUT_MS = 10_000
/** Reading stops when so much waits. Up to then it goes on, because only a read shows that the client has gone. */
const READ_AHEAD_BYTES = 64 * 1024

type State = 'open' | 'lingering' | 'given-away' | 'closed'

/** The facts about a connection before its first byte of HTTP. */
export interface Http1Client {
  readonly clientIp: string
  /** Undefined where there is no TLS. */
  readonly context?: Pick<SiteContext, 'covers'>
  readonly clientCertificate?: ClientCertificate | undefined
}

export class Http1Connection implements ExchangeCarrier {
  readonly client: Client
  readonly certificate: Pick<SiteContext, 'covers'> | undefined
  readonly clientCertificate: ClientCertificate | undefined
  readonly socket: Socket
  readonly out: OutBuffer
  /** The open exchange is the last; the bytes behind it are not read as requests. */
  isClosing = false
  readonly #host: Http1Host<Http1Connection>
  readonly #read = new ReadAhead()
  readonly #heads = new HeadReader()
  #state: State = 'open'
  #isReading = false
  #isPaused = false
  #isUnreadable = false
  #decoder: BodyDecoder | undefined
  #exchange: Http1Exchange | undefined
  /** The exchange that the connection ends with, while its client may still be sending. */
  #last: Http1Exchange | undefined
  /** The head of the request behind the open exchange. */
  #next: Http1RequestHead | undefined
  #requests = 0
  #bytesReceived = 0
  /** With no exchange open: since when we have waited for the client to begin a head, or to complete one. */
  #sinceMs: number

  constructor(socket: Socket, client: Http1Client, host: Http1Host<Http1Connection>) {
    this.socket = socket
    this.client = clientOf(client.clientIp, client.context === undefined ? 'http' : 'https')
    this.certificate = client.context
    this.clientCertificate = client.clientCertificate
    this.out = new OutBuffer(socket)
    this.#host = host
    this.#sinceMs = host.deps.nowMs()
    readShared(socket, this.#onData)
    socket
      .on('end', this.#onEnd)
      .on('error', ignore)
      .on('drain', () => this.#exchange?.onDrained())
      .once('close', () => this.#onClose())
  }

  get keepAliveLine(): string {
    return this.#host.keepAliveLine
  }

  isLast(): boolean {
    return this.isClosing || (this.#host.isDraining && !this.#hasUnread)
  }

  readOn(): void {
    if (this.#isReading) return
    this.#isReading = true
    try {
      while (this.#state === 'open' && this.#step());
    } catch (error) {
      if (!(error instanceof Http1Fault)) throw error
      this.#onFault(error)
    } finally {
      this.#isReading = false
    }
    if (this.#state === 'open') this.#settle()
  }

  skimBody(): void {
    const exchange = this.#exchange
    if (this.#isReading || exchange === undefined || exchange.incoming?.hasSink === true) return
    this.#skim(exchange)
  }

  ended(exchange: Http1Exchange): void {
    this.#exchange = undefined
    if (this.#state === 'closed') return
    if (this.isClosing) {
      this.#close(exchange)
      return
    }
    this.#decoder = undefined
    this.#sinceMs = this.#host.deps.nowMs()
    // Not at once: the source of the response, such as an upstream connection, is free only when this returns.
    if (this.#hasUnread) process.nextTick(readOn, this)
  }

  /** Ends the connection if it is idle and has had a request; for a drain. */
  closeIfIdle(): void {
    if (this.#isIdle && this.#requests > 0) this.#close()
  }

  /** Applies the deadlines for the client while no exchange is open. */
  check(nowMs: number): void {
    if (this.#state !== 'open' || this.#exchange !== undefined) return
    const { requestHeaderTimeoutMs, keepAliveTimeoutMs } = this.#host.limits
    const { isWithinHead } = this.#heads
    const timeoutMs = isWithinHead || this.#requests === 0 ? requestHeaderTimeoutMs : keepAliveTimeoutMs
    if (nowMs - this.#sinceMs < timeoutMs) return
    if (isWithinHead) this.#onFault(new Http1Fault('HEAD_TIMEOUT'))
    // No response: browsers open connections ahead of need and could take it for the response to their first request.
    else this.#close()
  }

  get #isIdle(): boolean {
    return this.#state === 'open' && this.#exchange === undefined && !this.#heads.isWithinHead
  }

  /** Bytes have arrived behind the request of the open exchange. */
  get #hasUnread(): boolean {
    return this.#next !== undefined || this.#heads.isWithinHead || this.#read.length > 0
  }

  readonly #onData = (chunk: Buffer): void => {
    this.#read.add(chunk)
    this.#bytesReceived += chunk.length
    if (this.#state === 'open') this.readOn()
    else this.#dropRest()
  }

  /** @returns false: nothing more can be done with the bytes that have arrived */
  #step(): boolean {
    const exchange = this.#exchange
    if (exchange === undefined && this.#next !== undefined) {
      const next = this.#next
      this.#next = undefined
      this.#begin(next)
      return true
    }
    if (this.#read.length === 0) return false
    if (exchange?.isRequestComplete === false) return this.#takeBody(exchange)
    if (this.#next !== undefined || this.isClosing) return false
    this.#takeHead()
    return true
  }

  #takeHead(): void {
    const wasWithinHead = this.#heads.isWithinHead
    this.#next = this.#heads.take(this.#read, this.#host.headLimits)
    const hasBegun = !wasWithinHead && this.#heads.isWithinHead
    if (hasBegun && this.#exchange === undefined) this.#sinceMs = this.#host.deps.nowMs()
  }

  #begin(head: Http1RequestHead): void {
    const host = this.#host
    this.#requests += 1
    const isLast =
      !head.keepsAlive ||
      // The bytes behind it may be of another protocol.
      head.isUpgradeIgnored ||
      head.upgrade ||
      this.#requests >= host.limits.requestsPerConnection ||
      this.#heads.isBurstOver(this.#requests, this.#bytesReceived, this.#read.length)
    if (isLast) this.isClosing = true
    const exchange = head.upgrade
      ? new UpgradeExchange(head, this.#giveAway(), this, host.deps)
      : new Http1Exchange(head, this, host.deps)
    this.#exchange = exchange
    host.handle(exchange)
  }

  /** @returns false: the body waits, because its sink takes no more */
  #takeBody(exchange: Http1Exchange): boolean {
    const body = exchange.incoming
    if (body?.isFlowing !== true) return false
    const read = this.#read
    const decoder = (this.#decoder ??= new BodyDecoder(exchange.request.body, this.#host.headLimits))
    const { buffer } = read
    read.at = decoder.take(buffer, read.at, read.end)
    if (decoder.isComplete) exchange.isBodyRead = true
    if (decoder.contentTo > decoder.contentFrom) body.deliver(buffer, decoder.contentFrom, decoder.contentTo)
    if (exchange.isBodyRead) body.end()
    return true
  }

  /** Drops the part of the body that has arrived. */
  #skim(exchange: Http1Exchange): void {
    if (this.#isUnreadable || !exchange.isParsed) return
    const read = this.#read
    try {
      const decoder = (this.#decoder ??= new BodyDecoder(exchange.request.body, this.#host.headLimits))
      while (!decoder.isComplete && read.length > 0) read.at = decoder.take(read.buffer, read.at, read.end)
      if (decoder.isComplete) exchange.isBodyRead = true
    } catch (error) {
      if (!(error instanceof Http1Fault)) throw error
      this.#isUnreadable = true
    }
  }

  #settle(): void {
    this.#read.keep()
    const isFull = this.#read.length >= READ_AHEAD_BYTES
    if (isFull === this.#isPaused) return
    this.#isPaused = isFull
    if (isFull) this.socket.pause()
    else this.socket.resume()
  }

  /** Gives the socket to a handshake, which may become a tunnel. @returns the bytes that were read and not parsed */
  #giveAway(): Buffer {
    this.#state = 'given-away'
    stopReadingShared(this.socket, this.#onData)
    this.socket.off('end', this.#onEnd)
    this.out.flush()
    return this.#read.takeAll()
  }

  #onFault(fault: Http1Fault): void {
    const exchange = this.#exchange
    this.#isUnreadable = true
    this.isClosing = true
    this.#host.onFault(fault, this.client)
    if (exchange === undefined) {
      this.#host.deps.bans?.note(this.client, fault.status, undefined)
      this.out.text(rawErrorResponse(fault.status))
      this.#close()
    } else if (!exchange.isRequestComplete) {
      exchange.onUnreadable()
    }
    // Otherwise the fault is behind the open exchange, whose response is still sent, and is the last.
  }

  /** Sends what has been written, then ends the connection. @param last its last exchange, if there was one */
  #close(last?: Http1Exchange): void {
    const { socket } = this
    const isRead = !this.#isUnreadable && !this.#hasUnread && last?.isRequestComplete !== false
    const isTunnel = this.#state === 'given-away'
    this.#state = 'lingering'
    this.#isPaused = false
    this.out.flush()
    if (isRead && !isTunnel && this.#requests > 0) {
      socket.destroySoon()
      // The close_notify of TLS waits until the client reads; everything else is in the kernel's buffers.
      destroyAfter(socket, CLOSE_TIMEOUT_MS)
      return
    }
    this.#last = last
    closeLingering(socket)
    this.#dropRest()
  }

  /** Drops what the client still sends, so that it gets the whole response; the connection ends when its body does. */
  #dropRest(): void {
    const last = this.#last
    if (last?.isRequestComplete === false) {
      this.#skim(last)
      if (last.isRequestComplete) destroyWhenSent(this.socket)
    }
    this.#read.clear()
  }

  /** The client has closed its side. A response that has not been written yet would reach no one. */
  readonly #onEnd = (): void => {
    if (this.#state !== 'open') return
    this.out.flush()
    this.#state = 'closed'
    this.#exchange?.finished()
    this.socket.end()
    destroyWhenSent(this.socket)
    destroyAfter(this.socket, LINGER_MS)
  }

  #onClose(): void {
    this.#state = 'closed'
    this.#read.clear()
    this.#exchange?.finished()
    this.#host.onClosed(this)
  }
}

function readOn(connection: Http1Connection): void {
  connection.readOn()
}

function ignore(): void {}
