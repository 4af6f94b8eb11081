// Forwards the response of an upstream that rejects a handshake, like any other response.
import type { IncomingMessage } from 'node:http'
import { ProxyError } from '@reverse-proxy/shared/errors'
import type { AccessLog } from '../observability/access-log-entry.ts'
import type { ResponseSource, Exchange } from '../protocol/exchange.ts'
import { clientResponseHeaders, clientTrailers, RESET_CONTENT } from '../message/headers.ts'
import { badResponse } from '../upstream/http1/bad-response.ts'
import { failHandshake } from './handshake.ts'

export interface RejectedUpgradeDeps {
  readonly accessLog: AccessLog
  /** The longest silence of the upstream within the response. */
  readonly silenceTimeoutMs: number
}

const SWITCHING_PROTOCOLS = 101

/** Forwards `response`, framed anew, as fast as the client reads. Becomes the source of the exchange. */
export function passRejectedUpgrade(
  exchange: Exchange,
  response: IncomingMessage,
  deps: RejectedUpgradeDeps,
): void {
  new Refusal(exchange, response, deps).start()
}

class Refusal implements ResponseSource {
  readonly #exchange: Exchange
  readonly #response: IncomingMessage
  readonly #deps: RejectedUpgradeDeps
  readonly #silence: NodeJS.Timeout
  readonly #hasContent: boolean

  constructor(exchange: Exchange, response: IncomingMessage, deps: RejectedUpgradeDeps) {
    this.#exchange = exchange
    this.#response = response
    this.#deps = deps
    this.#hasContent = response.statusCode !== RESET_CONTENT
    this.#silence = setTimeout(() => this.#onSilence(), deps.silenceTimeoutMs)
  }

  start(): void {
    const exchange = this.#exchange
    const response = this.#response
    exchange.source = this
    response.on('data', (chunk: Buffer) => this.#onData(chunk))
    response.on('end', () => exchange.end(this.#hasContent ? clientTrailers(response.rawTrailers) : []))
    // Without an end before it, this is a truncation; after it, nothing happens.
    response.on('error', () => exchange.truncate())
    response.on('close', () => clearTimeout(this.#silence))
    const { rawHeaders, statusCode: status = 0 } = response
    const { list, contentLength, isUnreadable } = clientResponseHeaders(
      rawHeaders,
      status,
      exchange.canAnnounceTrailers,
    )
    try {
      if (isUnreadable) throw badResponse('transfer coding other than chunked')
      if (status === SWITCHING_PROTOCOLS) throw badResponse('101 that switches to nothing')
      exchange.respond({
        status,
        reason: '',
        headers: list,
        contentLength: this.#hasContent ? contentLength : '0',
      })
    } catch (error) {
      response.destroy()
      const refused =
        error instanceof ProxyError ? error : badResponse('status or field that cannot be sent on')
      failHandshake(exchange, this.#deps.accessLog, refused)
    }
  }

  onDrain(): void {
    this.#response.resume()
    this.#silence.refresh()
  }

  onClientGone(): void {
    this.#response.destroy()
  }

  #onData(chunk: Buffer): void {
    this.#silence.refresh()
    if (this.#hasContent && !this.#exchange.write(chunk)) this.#response.pause()
  }

  #onSilence(): void {
    // The client is slow, so the upstream has to pause.
    if (this.#response.isPaused()) this.#silence.refresh()
    else this.#response.destroy(new ProxyError('UPSTREAM_TIMEOUT', 'silence within an answer'))
  }
}
