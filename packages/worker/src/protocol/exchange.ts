// One request and its response as the rest of the worker sees them, whichever protocol carries them. Knows how far the
// response is, and logs the exchange once when it is over. http1/exchange.ts and http2/exchange.ts implement it.
import type { RouteSettings } from '@reverse-proxy/shared/config/config'
import type { Bans } from '../access/bans.ts'
import type { AccessList } from '../access/access-list.ts'
import type { BodySource } from './body.ts'
import type { WriteTimeouts, PendingResponse } from './write-timeouts.ts'
import { STATUS_CLIENT_GONE, type AccessLog } from '../observability/access-log-entry.ts'
import type { Client, ClientConnection } from '../connection/client-connection.ts'
import type { CopiedFields, Forwarded } from '../message/headers.ts'
import { newRequestId } from '../message/request-id.ts'
import type { ParsedRequest, RequestHead } from '../message/request-parser.ts'

export interface ExchangeDeps {
  readonly accessLog: AccessLog
  readonly stalls: WriteTimeouts
  /** Unset: no status leads to a ban. */
  readonly bans?: Pick<Bans, 'note'> | undefined
  /** Monotonic. */
  readonly nowMs: () => number
}

/** Produces the response. */
export interface ResponseSource {
  /** The client takes more, after `write` returned false. */
  onDrain(): void
  /** The client has gone. Not called after `end` or `truncate`. */
  onClientGone(): void
}

export interface ResponseHead {
  readonly status: number
  /** Ignored by HTTP/2. Empty: the usual phrase. */
  readonly reason: string
  /** Name, value, name, value ... without Content-Length. */
  readonly headers: string[]
  readonly contentLength: string | undefined
}

/** Produces the response to a request that has passed all stages. */
export interface Handler {
  /** @throws ProxyError whose status the client gets */
  handle(exchange: Exchange): void
}

/** Sees the head of every response of a site or route, whoever made it, before it is sent. */
export interface ResponseFilter {
  /** May change `head`. */
  onHead(exchange: Exchange, head: ResponseHead): void
}

/** Asks somebody else whether a request may go on. */
export interface Gate {
  /**
   * Calls `goOn` later if it may, and otherwise sees to it that it gets a response. Calls nothing if the client goes.
   * @returns true: it may already, and `goOn` is not called
   */
  ask(exchange: Exchange, goOn: () => void): boolean
}

/** A site, or one of its routes, as it is served. */
export interface ServedRoute {
  /** The first host of the site; its name in metrics. */
  readonly siteName: string
  readonly settings: RouteSettings
  /** Unset: every address may use it. */
  readonly access?: AccessList | undefined
  /** Unset: nobody else is asked. */
  readonly gate?: Gate | undefined
  /** In the order in which they see a response. */
  readonly filters: readonly ResponseFilter[]
  readonly handler: Handler
}

export abstract class Exchange implements PendingResponse {
  readonly head: RequestHead
  readonly connection: ClientConnection
  /** The client that the request comes from: the peer of the connection, until the client stage sets another one. */
  client: Client
  /** How many stages of the pipeline have been started. */
  stagesRun = 0
  /** The user who has authenticated; set by the authentication stage. */
  user: string | undefined
  /** Set by the gate of the route. */
  copied: CopiedFields | undefined
  /** Set by the route stage. */
  route: ServedRoute | undefined
  source: ResponseSource | undefined
  /** Called once, when the exchange is over. */
  onOver: (() => void) | undefined
  /** `host:port` of the peer that the request was last sent to. */
  upstream: string | undefined
  /** Bytes of the response body. */
  bytesSent = 0
  /** Bytes of the request body that were read. */
  bytesReceived = 0
  /** Status of the response; 0 until its head has been written. */
  protected status = 0
  protected isEnded = false
  #isOver = false
  #bytesReceivedSeen = 0
  #request: ParsedRequest | undefined
  #requestId: string | undefined
  readonly #deps: ExchangeDeps
  /** Monotonic, as `ExchangeDeps.nowMs`. */
  readonly startedMs: number

  constructor(head: RequestHead, connection: ClientConnection, deps: ExchangeDeps) {
    this.head = head
    this.connection = connection
    this.client = connection.client
    this.#deps = deps
    this.startedMs = deps.nowMs()
  }

  /** @throws TypeError before the parse stage has set it */
  get request(): ParsedRequest {
    if (this.#request === undefined) throw new TypeError('the request has not been parsed yet')
    return this.#request
  }

  set request(request: ParsedRequest) {
    this.#request = request
  }

  /** The parse stage has set `request`. */
  get isParsed(): boolean {
    return this.#request !== undefined
  }

  /** Identifies this request here and upstream: the identifier of a trusted proxy, or a new one. */
  get requestId(): string {
    this.#requestId ??= this.client.forwarded?.requestId ?? newRequestId(Date.now())
    return this.#requestId
  }

  /** Also true as long as the request has not been parsed. */
  get mayHaveBody(): boolean {
    return this.#request?.body.kind !== 'none'
  }

  get expectsContinue(): boolean {
    return this.#request?.expectsContinue === true
  }

  /** The request body. Only for a request that has one. */
  abstract get body(): BodySource
  /** The request has been read to its end. */
  abstract get isRequestComplete(): boolean
  /** The head of the response has been written; no other response is possible. */
  get headersSent(): boolean {
    return this.status !== 0
  }

  /** The response is over, or the client has gone. */
  get isOver(): boolean {
    return this.#isOver
  }

  /** A response of this protocol may have a Trailer field. */
  abstract get canAnnounceTrailers(): boolean

  /** True if bytes of the request have arrived since the last call: such an exchange is not idle. */
  isHeldUp(_nowMs: number, _timeoutMs: number): boolean {
    if (this.bytesReceived === this.#bytesReceivedSeen) return false
    this.#bytesReceivedSeen = this.bytesReceived
    return true
  }

  abstract onStalled(): void
  /** Sends an interim response (1xx, not 101), unless the protocol has none. */
  abstract inform(status: number, headers: readonly string[]): void
  /**
   * The only way a response begins: the filters of the route change its head, then the protocol sends it.
   * @throws TypeError or RangeError if the runtime refuses a header or the status; nothing is sent then
   */
  respond(head: ResponseHead): void {
    this.#deps.bans?.note(this.client, head.status, this.route?.settings.ban)
    if (this.route !== undefined) for (const filter of this.route.filters) filter.onHead(this, head)
    this.writeHead(head)
  }

  /** @throws TypeError or RangeError as `respond` does */
  protected abstract writeHead(head: ResponseHead): void
  /**
   * @param chunk the caller may reuse it afterwards
   * @returns false: wait for `onDrain`
   */
  abstract write(chunk: Buffer): boolean
  /** Completes the response, also while the request body is still arriving. Has no effect the second time. */
  abstract end(trailers: readonly string[]): void
  /** Writes the last piece of the body, which the caller may reuse afterwards, and completes the response. */
  abstract endWith(last: Buffer): void
  /** Cuts the response so that the client sees that it is incomplete. Has no effect after `end`. */
  abstract truncate(): void
  /** Closes the connection after this response, because the bytes behind the request cannot be trusted. */
  abstract closeAfterwards(): void

  /** Call when written data waits for the client to read it. */
  protected awaitClient(): void {
    this.#bytesReceivedSeen = this.bytesReceived
    this.#deps.stalls.watch(this)
  }

  /** Call when everything written has been sent. */
  protected drained(): void {
    if (!this.isEnded) this.#deps.stalls.forget(this)
    this.source?.onDrain()
  }

  /** The protocol calls it when nothing more can be sent. Idempotent. */
  protected over(): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#deps.stalls.forget(this)
    const { head, client, upstream, status } = this
    this.#deps.accessLog.request({
      site: this.route?.siteName,
      clientIp: client.ip,
      host: this.#request?.host,
      method: head.method,
      path: head.target,
      status: status === 0 ? STATUS_CLIENT_GONE : status,
      upstream,
      durationMs: Math.round(this.#deps.nowMs() - this.startedMs),
      bytes: this.bytesSent,
      proto: head.protocol,
      requestId: this.requestId,
    })
    if (!this.isEnded) this.source?.onClientGone()
    this.source = undefined
    this.onOver?.()
  }
}

/** @throws TypeError before the route stage has run */
export function servedRouteOf(exchange: Exchange): ServedRoute {
  if (exchange.route === undefined) throw new TypeError('the request has not been matched to a route yet')
  return exchange.route
}

/** The facts that the upstream gets in addition to the client's own fields. */
export function forwardedOf(exchange: Exchange): Forwarded {
  const { client, connection, user, request, requestId, copied } = exchange
  const { clientCertificate } = connection
  const { authority, connectionOptions } = request
  const dropsAuthorization = exchange.route?.settings.basicAuth?.forwardsAuthorization === false
  return {
    client,
    authority,
    connectionOptions,
    requestId,
    user,
    dropsAuthorization,
    copied,
    clientCertificate,
  }
}
