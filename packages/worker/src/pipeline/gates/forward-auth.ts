// Asks a service, such as Authelia, whether a request may go on: by a GET with the fields of the request, which also says
// what was asked for. After an answer of 2xx the request goes on, with the fields that the configuration names; any other
// answer is the response to the client. Whatever else happens leads to 502.
import type { ForwardAuthSettings } from '@reverse-proxy/shared/config/config'
import type { ProxyError } from '@reverse-proxy/shared/errors'
import type { ClientConnection } from '../../connection/client-connection.ts'
import { lowerFieldName } from '../../message/field-names.ts'
import { clientResponseHeaders, upstreamRequestHeaders, type CopiedFields } from '../../message/headers.ts'
import type { AccessLog } from '../../observability/access-log-entry.ts'
import { sendText } from '../../protocol/error-response.ts'
import { forwardedOf, type Exchange, type Gate, type ResponseSource } from '../../protocol/exchange.ts'
import { Attempts } from '../../upstream/attempts.ts'
import type { UpstreamConnection } from '../../upstream/connections/connection.ts'
import { upstreamFault } from '../../upstream/connections/errors.ts'
import type { ResponseReceiver, UpstreamRequest } from '../../upstream/connections/request.ts'
import { badResponse } from '../../upstream/http1/bad-response.ts'
import { requestHeadText } from '../../upstream/http1/request-head.ts'
import type { ParsedResponseHead } from '../../upstream/http1/response-head.ts'
import type { Peer } from '../../upstream/peer.ts'
import type { ConnectionWaiter } from '../../upstream/pool.ts'
import type { Upstream } from '../../upstream/upstream.ts'

const BAD_GATEWAY = 502
const FIRST_FINAL = 200
const FIRST_REDIRECTION = 300
const NO_BODY = { kind: 'none', isDeclared: false } as const
/** The question has no body, and its answer is wanted whole; only we say what was asked for. */
const NOT_ASKED: ReadonlySet<string> = new Set([
  'content-type',
  'content-encoding',
  'content-language',
  'content-location',
  'content-range',
  'range',
  'if-match',
  'if-none-match',
  'if-modified-since',
  'if-unmodified-since',
  'if-range',
  'x-forwarded-method',
  'x-forwarded-uri',
])

export class ForwardAuth implements Gate {
  readonly settings: ForwardAuthSettings
  readonly upstream: Upstream
  readonly accessLog: AccessLog
  /** The copied fields, with hyphens: a client's own never go up. */
  readonly names: ReadonlySet<string>

  constructor(settings: ForwardAuthSettings, upstream: Upstream, accessLog: AccessLog) {
    this.settings = settings
    this.upstream = upstream
    this.accessLog = accessLog
    this.names = new Set(settings.copyHeaders.map((name) => name.replaceAll('_', '-')))
  }

  ask(exchange: Exchange, goOn: () => void): boolean {
    new Question(exchange, this, goOn).start()
    return false
  }
}

class Question implements ConnectionWaiter, ResponseReceiver, ResponseSource {
  readonly client: ClientConnection
  readonly authenticates: boolean
  readonly #exchange: Exchange
  readonly #auth: ForwardAuth
  readonly #goOn: () => void
  readonly #request: UpstreamRequest
  readonly #deadline: NodeJS.Timeout
  #peer: Peer
  #connection: UpstreamConnection | undefined
  #attempts: Attempts | undefined
  /** Set by an answer of 2xx. */
  #copied: CopiedFields | undefined
  #isOver = false

  /** @throws ProxyError BAD_FRAMING if the question cannot be sent */
  constructor(exchange: Exchange, auth: ForwardAuth, goOn: () => void) {
    this.#exchange = exchange
    this.#auth = auth
    this.#goOn = goOn
    const { path, timeoutMs } = auth.settings
    const { fields, bindsConnection } = questionFields(exchange, auth)
    this.client = exchange.connection
    this.authenticates = bindsConnection
    this.#peer = auth.upstream.pick(exchange)
    this.#request = {
      method: 'GET',
      head: requestHeadText('GET', path, fields, NO_BODY, false),
      body: null,
      contentLength: undefined,
      isRepeatable: true,
      isLast: false,
      timeoutMs,
    }
    this.#deadline = setTimeout(() => this.#fail('timeout'), timeoutMs)
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
    this.#fail(upstreamFault(error).words)
  }

  // ResponseSource

  onDrain(): void {
    this.#connection?.resume()
  }

  onClientGone(): void {
    this.#stop()
  }

  // ResponseReceiver

  onResponseHead({ status, reason, fields }: ParsedResponseHead): void {
    if (status < FIRST_FINAL) return
    const { names, settings } = this.#auth
    const { list, contentLength, isUnreadable } = clientResponseHeaders(fields, status, false)
    if (isUnreadable) throw badResponse('a body that cannot be read')
    if (status < FIRST_REDIRECTION) {
      this.#copied = { names, list: copiedFrom(list, settings.copyHeaders) }
      return
    }
    clearTimeout(this.#deadline)
    this.#exchange.respond({ status, reason, headers: list, contentLength })
  }

  onResponseData(chunk: Buffer, isLast: boolean): boolean {
    // RFC 9110 9.3.2: the response to HEAD has no body, unlike the answer to our GET.
    if (this.#copied !== undefined || this.#exchange.head.method === 'HEAD') return true
    if (!isLast) return this.#exchange.write(chunk)
    this.#exchange.endWith(chunk)
    return true
  }

  onResponseEnd(): void {
    this.#connection = undefined
    if (this.#copied === undefined) this.#exchange.end([])
    else if (!this.#isOver) this.#pass(this.#copied)
  }

  onResponseError(error: unknown, hadBegun: boolean, isUnsent: boolean): void {
    const isReused = this.#connection?.isReused === true
    this.#connection = undefined
    if (this.#isOver) return
    const { code, words } = upstreamFault(error)
    const phase = hadBegun ? 'answered' : isUnsent ? 'unsent' : 'sent'
    this.#attempts ??= new Attempts(this.#auth.upstream, this.#exchange)
    const failure = { code, phase, isReused, isRepeatable: true } as const
    if (!this.#attempts.next(this.#peer, failure, (peer, fresh) => this.#ask(peer, fresh))) this.#fail(words)
  }

  #ask(peer: Peer, fresh: boolean): void {
    this.#peer = peer
    this.#exchange.upstream = peer.label
    peer.pool.acquire(this, fresh)
  }

  #pass(copied: CopiedFields): void {
    const exchange = this.#exchange
    this.#isOver = true
    clearTimeout(this.#deadline)
    exchange.source = undefined
    exchange.upstream = undefined
    exchange.copied = copied
    this.#goOn()
  }

  #fail(error: string): void {
    if (this.#isOver) return
    this.#stop()
    const exchange = this.#exchange
    this.#auth.accessLog.upstreamError({ host: exchange.request.host, upstream: this.#peer.label, error })
    if (exchange.isOver) return
    if (exchange.headersSent) exchange.truncate()
    else sendText(exchange, BAD_GATEWAY)
  }

  #stop(): void {
    this.#isOver = true
    clearTimeout(this.#deadline)
    this.#attempts?.cancel()
    this.#peer.pool.cancel(this)
    this.#connection?.abandon()
  }
}

function questionFields(
  exchange: Exchange,
  { settings, names }: ForwardAuth,
): { readonly fields: string[]; readonly bindsConnection: boolean } {
  const { head, request } = exchange
  const { list, bindsConnection } = upstreamRequestHeaders(head.rawHeaders, forwardedOf(exchange))
  const fields = ['Host', settings.authority]
  for (let i = 2; i < list.length; i += 2) {
    const name = lowerFieldName(list[i]!).replaceAll('_', '-')
    if (!NOT_ASKED.has(name) && !names.has(name)) fields.push(list[i]!, list[i + 1]!)
  }
  // RFC 6455 4.1: the handshake of a WebSocket is a GET, whatever HTTP/2 calls it.
  fields.push('X-Forwarded-Method', head.upgrade ? 'GET' : head.method, 'X-Forwarded-Uri', request.path)
  return { fields, bindsConnection }
}

/** @param list name, value, name, value ...; names in lower case */
function copiedFrom(list: readonly string[], names: readonly string[]): string[] {
  const copied: string[] = []
  for (let i = 0; i < list.length; i += 2) if (names.includes(list[i]!)) copied.push(list[i]!, list[i + 1]!)
  return copied
}
