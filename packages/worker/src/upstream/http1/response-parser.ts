// Finds where each response of an upstream begins and ends, its head and its body (RFC 9112 6). One parser for all
// requests of a connection, one after the other. Keeps nothing of a body.
import { assertNever } from '@reverse-proxy/shared/assert-never'
import { ProxyError } from '@reverse-proxy/shared/errors'
import { endsWithHead, NO_CONTENT } from '../../message/headers.ts'
import { ChunkedBody } from './chunked-body.ts'
import type { ParsedResponseHead } from './response-head.ts'
import { parseResponseHead, VERSION_1 } from './response-head.ts'
import { HeaderSection } from './header-section.ts'
import { badResponse } from './bad-response.ts'

export interface ResponseEvents {
  /** Called for interim responses (1xx) too, of which there may be any number before the final one. */
  onHead(head: ParsedResponseHead): void
  onData(chunk: Buffer): void
}

type State = 'head' | 'length' | 'chunks' | 'until-close' | 'complete'

const SWITCHING_PROTOCOLS = 101
const NO_TRAILERS: readonly string[] = []

export class ResponseParser {
  readonly #events: ResponseEvents
  readonly #section = new HeaderSection()
  readonly #chunks: ChunkedBody
  #state: State = 'complete'
  #isToHead = false
  #hasBegun = false
  #hasChunks = false
  #keepsAlive = false
  #keepAliveSecs: number | undefined
  #bytesLeft = 0
  #hasSurplus = false

  constructor(events: ResponseEvents) {
    this.#events = events
    this.#chunks = new ChunkedBody((content) => events.onData(content))
  }

  /** A request has been sent. @param method RFC 9112 6.3: a response to HEAD has no body */
  begin(method: string): void {
    this.#state = 'head'
    this.#section.begin()
    this.#isToHead = method === 'HEAD'
    this.#hasBegun = false
    this.#hasChunks = false
    this.#hasSurplus = false
  }

  /** At least one byte of the response has arrived. */
  get hasBegun(): boolean {
    return this.#hasBegun
  }

  /** The head of the final response has arrived. */
  get hasHead(): boolean {
    return this.#state !== 'head'
  }

  get isComplete(): boolean {
    return this.#state === 'complete'
  }

  /** True if the connection can take another request after this complete response. */
  get keepsAlive(): boolean {
    return this.#keepsAlive && !this.#hasSurplus
  }

  get keepAliveSecs(): number | undefined {
    return this.#keepAliveSecs
  }

  /** Name, value, name, value ...; names in lower case. */
  get trailers(): readonly string[] {
    return this.#hasChunks ? this.#chunks.trailers : NO_TRAILERS
  }

  /** @throws ProxyError UPSTREAM_PROTOCOL, and what the receiver of the events throws */
  execute(read: Buffer): void {
    this.#hasBegun = true
    let at = 0
    while (at < read.length) {
      switch (this.#state) {
        case 'head':
          at = this.#takeHead(read, at)
          break
        case 'length':
          at = this.#takeContent(read, at)
          break
        case 'chunks':
          at = this.#chunks.take(read, at)
          if (this.#chunks.isComplete) this.#state = 'complete'
          break
        case 'until-close':
          this.#events.onData(at === 0 ? read : read.subarray(at))
          return
        case 'complete':
          this.#hasSurplus = true
          return
        default:
          assertNever(this.#state)
      }
    }
  }

  /**
   * The upstream has closed the connection with FIN.
   * @throws ProxyError UPSTREAM_RESET, UPSTREAM_PROTOCOL or UPSTREAM_TRUNCATED if that is not the end of the response
   */
  finish(): void {
    switch (this.#state) {
      case 'until-close':
      case 'complete':
        this.#state = 'complete'
        break
      case 'head':
        if (!this.#hasBegun) throw new ProxyError('UPSTREAM_RESET', 'closed')
        throw badResponse('closed within the head')
      case 'length':
      case 'chunks':
        throw new ProxyError('UPSTREAM_TRUNCATED', 'truncated')
      default:
        assertNever(this.#state)
    }
  }

  #takeHead(read: Buffer, at: number): number {
    const next = this.#section.take(read, at)
    const { text } = this.#section
    if (text === undefined) {
      // A peer that speaks another protocol may wait for our reply and never send more.
      if (!this.#section.canBegin(VERSION_1)) throw badResponse('not HTTP/1', this.#section.beginning)
      return next
    }
    const head = parseResponseHead(text)
    // We never send Upgrade here, and the bytes behind a 101 are not HTTP.
    if (head.status === SWITCHING_PROTOCOLS) throw badResponse('101 that nobody asked for')
    if (head.status < 200) this.#section.begin()
    else this.#beginBody(head)
    this.#events.onHead(head)
    return next
  }

  /** RFC 9112 6.3. */
  #beginBody({ status, framing, keepsAlive, keepAliveSecs }: ParsedResponseHead): void {
    this.#keepsAlive = keepsAlive
    this.#keepAliveSecs = keepAliveSecs
    if (this.#isToHead || endsWithHead(status) || framing === 0) {
      this.#state = 'complete'
      // RFC 9110 8.6, RFC 9112 6.1: such a response must not announce a body. An upstream that announces one may also
      // send it, and we would take it for the next response.
      if (status === NO_CONTENT && framing !== 'until-close' && framing !== 0) this.#keepsAlive = false
    } else if (framing === 'chunked') {
      this.#state = 'chunks'
      this.#hasChunks = true
      this.#chunks.begin()
    } else if (framing === 'until-close') {
      this.#state = 'until-close'
      this.#keepsAlive = false
    } else {
      this.#state = 'length'
      this.#bytesLeft = framing
    }
  }

  #takeContent(read: Buffer, at: number): number {
    const end = Math.min(read.length, at + this.#bytesLeft)
    this.#bytesLeft -= end - at
    if (this.#bytesLeft === 0) this.#state = 'complete'
    this.#events.onData(at === 0 && end === read.length ? read : read.subarray(at, end))
    return end
  }
}
