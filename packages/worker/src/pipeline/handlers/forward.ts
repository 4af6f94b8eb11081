// Forwards one request to a peer of the upstream and streams the response back: picks a peer, acquires a connection,
// sends the request, and on failure sends it again or gives up. If one side closes early, the other is closed as well;
// a response that the upstream cuts is cut for the client.
import type { Limits } from '@reverse-proxy/shared/config/config'
import { ERRORS, type ProxyError } from '@reverse-proxy/shared/errors'
import type { AccessLog } from '../../observability/access-log-entry.ts'
import type { ClientConnection } from '../../connection/client-connection.ts'
import type { ResponseSource, Exchange } from '../../protocol/exchange.ts'
import { sendError } from '../../protocol/error-response.ts'
import { clientResponseHeaders, clientTrailers, RESET_CONTENT } from '../../message/headers.ts'
import { RequestBody } from '../../protocol/request-body.ts'
import { requestHeadText } from '../../upstream/http1/request-head.ts'
import type { ParsedResponseHead } from '../../upstream/http1/response-head.ts'
import { upstreamHeadersOf, upstreamPathOf, type Route } from '../../upstream/route.ts'
import type { UpstreamConnection } from '../../upstream/connections/connection.ts'
import { upstreamFault, type UpstreamFault } from '../../upstream/connections/errors.ts'
import { badResponse, excerptOf } from '../../upstream/http1/bad-response.ts'
import type { Peer } from '../../upstream/peer.ts'
import type { ConnectionWaiter } from '../../upstream/pool.ts'
import type { ResponseReceiver, UpstreamRequest } from '../../upstream/connections/request.ts'
import { Attempts } from '../../upstream/attempts.ts'
import type { Upstream } from '../../upstream/upstream.ts'

export interface TransportDeps {
  readonly accessLog: AccessLog
  readonly limits: () => Pick<Limits, 'bodyStallTimeoutMs'>
}

/** RFC 9110 9.2.2. */
const IDEMPOTENT: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE', 'PUT', 'DELETE'])
const EARLY_HINTS = 103
const UNAUTHORIZED = 401
/** Limit on the fields of all hints for one request, the same as for one head, because a client may not read them. */
const MAX_HINT_BYTES = 65_536
/** A reason phrase that we may send. */
const PLAIN_PHRASE = /^[\t\u0020-\u007e]*$/
const NO_TRAILERS: readonly string[] = []
const NO_FIELDS: readonly string[] = []

/**
 * Starts to forward; callbacks of `exchange` and of the connection do the rest.
 * @throws ProxyError BAD_FRAMING if the request cannot be sent
 */
export function forward(exchange: Exchange, route: Route, deps: TransportDeps): void {
  new ForwardedRequest(exchange, route, deps).start()
}

class ForwardedRequest implements ConnectionWaiter, ResponseReceiver, ResponseSource {
  readonly client: ClientConnection
  readonly authenticates: boolean
  readonly #exchange: Exchange
  readonly #upstream: Upstream
  readonly #deps: TransportDeps
  readonly #request: UpstreamRequest
  #peer: Peer
  #connection: UpstreamConnection | undefined
  #attempts: Attempts | undefined
  #isClientGone = false
  #hasContent = true
  #hintBytes = 0

  constructor(exchange: Exchange, route: Route, deps: TransportDeps) {
    this.#exchange = exchange
    this.#upstream = route.upstream
    this.#peer = route.upstream.pick(exchange)
    this.#deps = deps
    const { body } = exchange.request
    const path = upstreamPathOf(exchange, route)
    const { method } = exchange.head
    const { bodyLimitBytes: limitBytes } = route.settings
    const passedLines = passedLinesOf(exchange, route)
    const fields = passedLines === undefined ? exchange.head.rawHeaders : NO_FIELDS
    const { list, bindsConnection } = upstreamHeadersOf(exchange, route, fields)
    this.client = exchange.connection
    this.authenticates = bindsConnection
    // If an upstream sends a body with its response to HEAD, we would take that for the next response.
    const isLast = method === 'HEAD'
    // A bound connection carries requests of this client alone, which could harm only itself.
    const closes = isLast && !bindsConnection && !this.#peer.pool.hasBound(this.client)
    const stallTimeoutMs = deps.limits().bodyStallTimeoutMs
    this.#request = {
      method,
      isRepeatable: body.kind === 'none' && IDEMPOTENT.has(method),
      head: requestHeadText(method, path, list, body, closes, passedLines),
      body: body.kind === 'none' ? null : new RequestBody(exchange, { limitBytes, stallTimeoutMs }),
      contentLength: body.kind === 'length' ? body.bytes : undefined,
      isLast,
      timeoutMs: route.action.requestTimeoutMs,
    }
  }

  start(): void {
    this.#exchange.source = this
    this.#ask(this.#peer, false)
  }

  // ConnectionWaiter

  onConnection(connection: UpstreamConnection): void {
    this.#connection = connection
    connection.send(this.#request, this)
  }

  onAcquireFailed(error: ProxyError): void {
    this.#request.body?.stop()
    this.#fail(error)
  }

  // ResponseSource

  onDrain(): void {
    this.#connection?.resume()
  }

  onClientGone(): void {
    this.#isClientGone = true
    this.#attempts?.cancel()
    this.#peer.pool.cancel(this)
    this.#request.body?.stop()
    this.#connection?.abandon()
  }

  // ResponseReceiver

  onResponseHead({ status, reason, fields }: ParsedResponseHead): void {
    const exchange = this.#exchange
    const { list, contentLength, isUnreadable, bindsConnection } = clientResponseHeaders(
      fields,
      status,
      exchange.canAnnounceTrailers,
    )
    if (bindsConnection || this.authenticates) this.#bindConnection(status)
    if (isUnreadable) throw badResponse('too many options in Connection')
    if (status >= 200) {
      this.#hasContent = status !== RESET_CONTENT
      exchange.respond({
        status,
        reason: PLAIN_PHRASE.test(reason) ? reason : '',
        headers: list,
        contentLength: this.#hasContent ? contentLength : '0',
      })
    } else if (status === EARLY_HINTS) {
      for (const text of list) this.#hintBytes += text.length
      if (this.#hintBytes <= MAX_HINT_BYTES) exchange.inform(status, list)
    }
  }

  onResponseData(chunk: Buffer, isLast: boolean): boolean {
    if (!this.#hasContent) return true
    if (isLast) {
      this.#exchange.endWith(chunk)
      return true
    }
    return this.#exchange.write(chunk)
  }

  onResponseEnd(trailers: readonly string[]): void {
    this.#connection = undefined
    this.#exchange.end(this.#hasContent && trailers.length > 0 ? clientTrailers(trailers) : NO_TRAILERS)
  }

  onResponseError(error: unknown, hadBegun: boolean, isUnsent: boolean): void {
    const { isRepeatable } = this.#request
    const isReused = this.#connection?.isReused === true
    this.#connection = undefined
    if (this.#isClientGone) return
    const { code } = upstreamFault(error)
    const phase = hadBegun ? 'answered' : isUnsent ? 'unsent' : 'sent'
    this.#attempts ??= new Attempts(this.#upstream, this.#exchange)
    const isAgain = this.#attempts.next(
      this.#peer,
      { code, phase, isReused, isRepeatable },
      (peer, fresh) => {
        this.#deps.accessLog.upstreamRetried(this.#peer.label)
        this.#ask(peer, fresh)
      },
    )
    if (!isAgain) this.#fail(error)
  }

  #ask(peer: Peer, fresh: boolean): void {
    this.#peer = peer
    this.#exchange.upstream = peer.label
    peer.pool.acquire(this, fresh)
  }

  /** Binds the connection to this client: the upstream authenticates the connection, or is about to. */
  #bindConnection(status: number): void {
    const connection = this.#connection
    if (connection === undefined) return
    connection.boundTo = this.client
    if (this.authenticates) connection.authentication = status === UNAUTHORIZED ? 'underway' : 'done'
    else if (status === UNAUTHORIZED) connection.authentication = 'none'
  }

  #fail(error: unknown): void {
    const exchange = this.#exchange
    if (this.#isClientGone || exchange.isOver) return
    const fault = upstreamFault(error)
    this.#report(fault, excerptOf(error))
    sendError(exchange, fault.code)
  }

  #report({ code, words }: UpstreamFault, excerpt: string | undefined): void {
    if (ERRORS[code].source !== 'upstream') return
    // The client has got a part of the response; the log says that the rest is missing.
    const isCut = this.#exchange.headersSent && code === 'UPSTREAM_RESET'
    const { host } = this.#exchange.request
    this.#deps.accessLog.upstreamError({
      host,
      upstream: this.#peer.label,
      error: isCut ? 'truncated' : words,
      ...(excerpt !== undefined && { excerpt }),
    })
  }
}

/** The client's field lines, if none of its fields has to be looked at or changed. */
function passedLinesOf({ head, request, copied }: Exchange, { requestHeaders }: Route): string | undefined {
  const isUnchanged =
    requestHeaders === undefined && copied === undefined && request.connectionOptions.length === 0
  return isUnchanged ? head.passedLines : undefined
}
