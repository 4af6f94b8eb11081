// The pass that sends: one request to the site's upstream and its answer back, both streaming, on
// undici's dispatch interface. Whichever side goes first takes the other with it; an answer cut short
// is cut short for the client, too.
import type { Dispatcher } from 'undici'
import type { Limits } from '@reverse-proxy/shared/config/config'
import { ERRORS, ProxyError } from '@reverse-proxy/shared/errors'
import type { AccessLog } from '../http/access-log-entry.ts'
import type { AnswerSource, ClientExchange } from '../http/client-exchange.ts'
import { answerError } from '../http/error-response.ts'
import type { BodyFraming } from '../http/framing.ts'
import {
  clientResponseHeaders,
  clientTrailers,
  RESET_CONTENT,
  upstreamRequestHeaders,
} from '../http/headers.ts'
import { RequestBody } from '../limits/body.ts'
import type { Route } from './route.ts'
import { BAD_RESPONSE, badResponse, upstreamFault, type UpstreamFault } from './upstream-error.ts'
import type { PooledConnection, PoolJob } from './upstream-pool.ts'

export interface TransportDeps {
  readonly accessLog: AccessLog
  readonly limits: () => Pick<Limits, 'bodyStallTimeoutMs'>
}

/** RFC 9110 9.2.2. */
const IDEMPOTENT: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE', 'PUT', 'DELETE'])
const EARLY_HINTS = 103
/** An upstream that goes on announcing an answer is not going to give one; each puts off its deadline. */
const MAX_INTERIM_RESPONSES = 8
const QUEUE_FULL_RETRY_SECS = 1
/** A reason phrase that may stand in a status line of ours. */
const PLAIN_PHRASE = /^[\t\u0020-\u007e]*$/

/** Starts it; everything after is `exchange`'s and undici's callbacks. */
export function forward(exchange: ClientExchange, route: Route, deps: TransportDeps): void {
  new Forwarding(exchange, route, deps).start()
}

class Forwarding implements Dispatcher.DispatchHandler, PoolJob, AnswerSource {
  readonly #exchange: ClientExchange
  readonly #route: Route
  readonly #deps: TransportDeps
  readonly #options: Dispatcher.DispatchOptions
  readonly #body: RequestBody | null
  #connection: PooledConnection | undefined
  #controller: Dispatcher.DispatchController | undefined
  #isOnReused = false
  #isRetried = false
  /** A byte of the response has come. */
  #isAnswered = false
  #isClientGone = false
  #hasContent = true
  #interimResponses = 0

  constructor(exchange: ClientExchange, route: Route, deps: TransportDeps) {
    this.#exchange = exchange
    this.#route = route
    this.#deps = deps
    const { body, path } = exchange.request
    const { bodyLimitBytes: limitBytes, requestTimeoutMs } = route.site
    const stallTimeoutMs = deps.limits().bodyStallTimeoutMs
    this.#body = body.kind === 'none' ? null : new RequestBody(exchange.body, { limitBytes, stallTimeoutMs })
    this.#options = {
      method: exchange.head.method,
      path,
      headers: upstreamRequestHeaders(exchange.head.rawHeaders, {
        clientIp: exchange.connection.clientIp,
        authority: exchange.request.authority,
        connectionOptions: exchange.request.connectionOptions,
        contentLength: lengthOf(body),
      }),
      body: this.#body,
      // undici starts the first when the request has been sent, and stops the second while we are paused.
      headersTimeout: requestTimeoutMs,
      bodyTimeout: requestTimeoutMs,
    }
  }

  start(): void {
    this.#exchange.source = this
    this.#exchange.upstream = this.#route.pool.label
    this.#route.pool.acquire(this)
  }

  // PoolJob

  onConnection(connection: PooledConnection): void {
    this.#connection = connection
    connection.dispatch(this.#options, this)
  }

  onNoConnection(error: ProxyError): void {
    this.#body?.destroy()
    this.#fail(error)
  }

  // AnswerSource

  onDrain(): void {
    this.#controller?.resume()
  }

  onClientGone(): void {
    this.#isClientGone = true
    if (this.#controller !== undefined) {
      this.#controller.abort(new ProxyError('CLIENT_GONE', 'the client went'))
    } else if (this.#connection === undefined) {
      this.#route.pool.cancel(this)
      this.#body?.destroy()
    }
    // Else it has a connection but has not been written: onRequestStart will see.
  }

  // DispatchHandler

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller
    this.#isOnReused = this.#connection?.beginRequest() === true
    if (this.#isClientGone) controller.abort(new ProxyError('CLIENT_GONE', 'the client went'))
  }

  onResponseStarted(): void {
    this.#isAnswered = true
  }

  onResponseStart(
    controller: Dispatcher.DispatchController,
    status: number,
    _headers: unknown,
    statusMessage?: string,
  ): void {
    const exchange = this.#exchange
    const { list, contentLength, isUnreadable } = clientResponseHeaders(
      toStrings(controller.rawHeaders),
      status,
      exchange.canAnnounceTrailers,
    )
    if (isUnreadable) throw badResponse()
    if (status < 200 && ++this.#interimResponses > MAX_INTERIM_RESPONSES) {
      throw badResponse()
    }
    if (status >= 200) {
      const reason = statusMessage !== undefined && PLAIN_PHRASE.test(statusMessage) ? statusMessage : ''
      this.#hasContent = status !== RESET_CONTENT
      exchange.respond({
        status,
        reason,
        headers: list,
        contentLength: this.#hasContent ? contentLength : '0',
      })
    } else if (status === EARLY_HINTS) {
      exchange.inform(status, list)
    }
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#hasContent && !this.#exchange.write(chunk)) controller.pause()
  }

  onResponseEnd(controller: Dispatcher.DispatchController): void {
    // An upstream may answer without having read it all.
    this.#body?.destroy()
    if (this.#connection?.hasFailed === true) {
      this.onResponseError(controller, new ProxyError('UPSTREAM_RESET', 'reset'))
      return
    }
    this.#exchange.end(this.#hasContent ? clientTrailers(toStrings(controller.rawTrailers)) : [])
    this.#connection?.release()
  }

  onResponseError(_controller: Dispatcher.DispatchController | null, error: Error): void {
    const connection = this.#connection
    this.#connection = undefined
    this.#controller = undefined
    // First, so that a retry does not find this connection in its way.
    connection?.fail()
    if (this.#mayRetry(error)) {
      this.#isRetried = true
      this.#deps.accessLog.upstreamRetried(this.#route.pool.label)
      this.#route.pool.acquire(this, true)
    } else {
      // Before the answer: what is left of the source is dropped by that, and must not be held back again.
      this.#body?.destroy()
      this.#fail(error)
    }
  }

  /** SPEC 7: on a reused connection, before any byte of response, and safe to repeat; once. */
  #mayRetry(error: Error): boolean {
    return (
      this.#isOnReused &&
      !this.#isAnswered &&
      !this.#isRetried &&
      !this.#isClientGone &&
      this.#body === null &&
      IDEMPOTENT.has(this.#exchange.head.method) &&
      ERRORS[upstreamFault(error).code].retry !== 'never'
    )
  }

  #fail(error: Error): void {
    const exchange = this.#exchange
    if (this.#isClientGone || exchange.isOver) return
    let fault = upstreamFault(error)
    // A head that has begun and never became one. undici ends the connection also over a 100 that
    // nobody has asked for, though RFC 9110 15.2 has clients bear with it.
    const isHeadless = this.#isAnswered && !exchange.isAnswered
    if (isHeadless && (fault.code === 'UPSTREAM_TRUNCATED' || fault.words === 'closed')) fault = BAD_RESPONSE
    this.#report(fault)
    answerError(
      exchange,
      fault.code,
      fault.code === 'UPSTREAM_QUEUE_FULL' ? QUEUE_FULL_RETRY_SECS : undefined,
    )
  }

  #report({ code, words }: UpstreamFault): void {
    if (ERRORS[code].source !== 'upstream') return
    // The client has had a part already: what matters is that it will not get the rest.
    const isCut = this.#exchange.isAnswered && (code === 'UPSTREAM_RESET' || code === 'UPSTREAM_PROTOCOL')
    const { host } = this.#exchange.request
    this.#deps.accessLog.upstreamError({
      host,
      upstream: this.#route.pool.label,
      error: isCut ? 'truncated' : words,
    })
  }
}

function lengthOf(body: BodyFraming): number | undefined {
  return body.kind === 'length' ? body.bytes : undefined
}

/** Header bytes as the runtime's own parser would give them: a character for each byte. */
function toStrings(raw: Dispatcher.DispatchController['rawHeaders']): string[] {
  const list: string[] = []
  if (!Array.isArray(raw)) return list
  for (const part of raw) list.push(typeof part === 'string' ? part : part.toString('latin1'))
  return list
}
